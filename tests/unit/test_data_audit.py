"""The data stage from end to end: what it writes, what it refuses, what the user reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from data_helpers import Stage, class_folders, encoded, image, noise, sha256
from PIL import Image, PngImagePlugin

from tfedge.data.index import Index
from tfedge.data.split import split_position
from tfedge.errors import ArtifactError, DataError


def split_folders(tmp_path: Path) -> Path:
    class_folders(tmp_path / "p" / "train", {"a": 12, "b": 12})
    class_folders(tmp_path / "p" / "val", {"a": 3, "b": 3}, first=100)
    return tmp_path / "p"


def refused(tmp_path: Path, **data: object) -> DataError:
    with pytest.raises(DataError) as caught:
        Stage(tmp_path, path=str(tmp_path / "p"), **data)
    assert caught.value.exit_code == 4
    assert not list((tmp_path / "out").iterdir())
    return caught.value


def resaved(source: Path, target: Path) -> None:
    """The same pixels in another file."""
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "saved again")
    target.write_bytes(encoded(Image.open(source), "PNG", pnginfo=info))
    assert sha256(source) != sha256(target)


def test_clean_folders(tmp_path: Path) -> None:
    stage = Stage(tmp_path, path=str(split_folders(tmp_path)))
    index = stage.index
    assert index.classes == ("a", "b") and index.split_from == "folders"
    assert index.counts == {"train": {"a": 12, "b": 12}, "val": {"a": 3, "b": 3}}
    assert [row.path for row in index.rows] == sorted(row.path for row in index.rows)
    row = index.rows[0]
    assert row == ("train/a/000.png", 0, "train", sha256(tmp_path / "p" / row.path))
    assert index.rows_of("val") == list(range(24, 30)) and not index.has("test")
    assert index.labels_of(index.rows_of("val")) == [0, 0, 0, 1, 1, 1] == index.labels[24:]
    assert index.keys([0]) == [row.sha256]
    assert vars(stage.audit) == {
        "skipped": [],
        "conflicts": [],
        "leaks": [],
        "near": [],
        "duplicates": 0,
        "copies": [],
        "remarks": [],
        "warnings": [],
        "imbalance": 1.0,
        "order": None,
    }
    assert stage.said.notes == ["30 images of 2 classes: 24 train, 6 val"]
    assert stage.said.updates[-1] == ("decode", 30, 30, "images")


def test_the_index_is_the_same_wherever_the_images_lie(tmp_path: Path) -> None:
    first = Stage(tmp_path, path=str(split_folders(tmp_path)))
    shutil.copytree(tmp_path / "p", tmp_path / "moved")
    again = Stage(tmp_path, path=str(tmp_path / "moved"))
    assert again.index_bytes == first.index_bytes
    assert not [update for update in again.said.updates if update[0] == "decode"]


def test_a_changed_index_is_not_loaded(tmp_path: Path) -> None:
    Stage(tmp_path, path=str(split_folders(tmp_path)))
    path = tmp_path / "out" / "index.json"
    raw = json.loads(path.read_text())
    assert set(raw) == {"classes", "rows", "split_from", "digest", "counts"}
    raw["rows"][0][1] = 1
    path.write_text(json.dumps(raw))
    with pytest.raises(ArtifactError, match="was changed"):
        Index.load(path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(ArtifactError, match="no index of examples"):
        Index.load(path)


def test_one_folder_is_split_by_content_and_adding_a_photo_moves_no_other(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 60, "b": 55})
    before = Stage(tmp_path, path=str(root))
    assert before.index.split_from == "content hash"
    for row in before.index.rows:
        assert row.split == ("val" if split_position(row.sha256) < 0.2 else "train")
    image(root / "a" / "new.png", 999)
    after = Stage(tmp_path, path=str(root)).splits()
    assert after.pop("a/new.png") in ("train", "val") and after == before.splits()


def bad_files(folder: Path) -> None:
    (folder / "text.jpg").write_text("not an image")
    jpeg = encoded(noise(3, 80, 80), "JPEG")
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")


def test_bad_images_stop_the_run_by_name(tmp_path: Path) -> None:
    bad_files(split_folders(tmp_path) / "train" / "a")
    error = refused(tmp_path)
    assert [line.split(": ")[0] for line in error.problems] == [
        "train/a/cut.jpg",
        "train/a/gone.png",
        "train/a/phone.heic",
        "train/a/text.jpg",
    ]
    assert "truncated" in error.problems[0] and "no such file" in error.problems[1]
    assert "not an image" in error.problems[3]
    assert "data.on_bad_image: skip" in error.hint


def test_bad_images_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    bad_files(split_folders(tmp_path) / "train" / "a")
    stage = Stage(tmp_path, path=str(tmp_path / "p"), on_bad_image="skip")
    assert len(stage.index.rows) == 30
    assert [entry["path"] for entry in stage.audit.skipped] == [
        "train/a/cut.jpg",
        "train/a/gone.png",
        "train/a/phone.heic",
        "train/a/text.jpg",
    ]
    assert (
        "bad images left out: 4 (data.on_bad_image: skip): "
        "train/a/cut.jpg, train/a/gone.png, train/a/phone.heic, …"
    ) in stage.said.notes


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    for number in range(23):
        (root / "val" / "b" / f"bad{number:02d}.jpg").write_text(f"text {number}")
    error = refused(tmp_path)
    assert len(error.problems) == 21 and error.problems[-1] == "… and 3 more like these"


@pytest.mark.parametrize("copy", [shutil.copy, resaved])
def test_an_image_under_two_labels(tmp_path: Path, copy: object) -> None:
    root = split_folders(tmp_path)
    copy(root / "train" / "a" / "003.png", root / "train" / "b" / "x.png")  # type: ignore[operator]
    error = refused(tmp_path)
    assert error.problems == [
        "the same image under two labels: train/a/003.png (a) = train/b/x.png (b)"
    ]
    assert "on_conflict: drop" in error.hint
    stage = Stage(tmp_path, path=str(root), on_conflict="drop")
    assert stage.index.counts["train"] == {"a": 11, "b": 12}
    assert stage.audit.conflicts == [
        {
            "pictures": [
                {"path": "train/a/003.png", "label": "a", "split": "train"},
                {"path": "train/b/x.png", "label": "b", "split": "train"},
            ]
        }
    ]
    assert "images under two labels left out: 2 (data.on_conflict: drop)" in stage.said.notes


@pytest.mark.parametrize("copy", [shutil.copy, resaved])
def test_an_image_in_two_splits(tmp_path: Path, copy: object) -> None:
    root = split_folders(tmp_path)
    copy(root / "train" / "a" / "003.png", root / "val" / "a" / "x.png")  # type: ignore[operator]
    error = refused(tmp_path)
    assert error.problems == [
        "the same image in two splits: train/a/003.png (train) = val/a/x.png (val)"
    ]
    assert "on_leak: drop" in error.hint
    dropped = Stage(tmp_path, path=str(root), on_leak="drop")
    assert dropped.index.counts == {"train": {"a": 11, "b": 12}, "val": {"a": 4, "b": 3}}
    assert dropped.audit.leaks[0]["dropped"] == ["train/a/003.png"]
    assert (
        "images in two splits: 1, copies left out: 1 (data.on_leak: drop)" in dropped.audit.warnings
    )
    kept = Stage(tmp_path, path=str(root), on_leak="keep")
    assert len(kept.index.rows) == 31
    assert (
        kept.audit.leaks[0]["dropped"] == []
        and "all kept (data.on_leak: keep)" in kept.audit.warnings[0]
    )


def test_an_image_in_all_three_splits_stays_in_test(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    class_folders(root / "test", {"a": 2, "b": 2}, first=200)
    for split in ("val", "test"):
        shutil.copy(root / "train" / "a" / "000.png", root / split / "a" / "x.png")
    stage = Stage(tmp_path, path=str(root), on_leak="drop")
    assert stage.audit.leaks[0]["dropped"] == ["train/a/000.png", "val/a/x.png"]
    assert stage.splits()["test/a/x.png"] == "test"


def test_copies_within_a_class_and_split_are_counted_and_named(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    for name in ("x.png", "y.png"):
        shutil.copy(root / "train" / "a" / "000.png", root / "train" / "a" / name)
    stage = Stage(tmp_path, path=str(root))
    assert stage.audit.duplicates == 2 and len(stage.index.rows) == 32
    (group,) = stage.audit.copies
    names = ("000.png", "x.png", "y.png")
    assert [one["path"] for one in group["pictures"]] == [f"train/a/{name}" for name in names]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    (root / "train" / "a" / "text.jpg").write_text("no")
    (root / "train" / "c").mkdir()
    shutil.copy(root / "train" / "a" / "000.png", root / "val" / "a" / "leak.png")
    shutil.copy(root / "train" / "a" / "001.png", root / "train" / "b" / "conflict.png")
    text = "\n".join(refused(tmp_path).lines())
    for part in ("text.jpg: not an image", "two labels", "two splits", "class c: no good image"):
        assert part in text


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"a": 3}, "at least two classes are needed, there is only a"),
        ({}, "at least two classes are needed, there is none"),
        ({"a": 5, "b": 0}, "class b: no good image"),
        ({"a": 5, "b": 1}, "class b: 1 different image(s), too few for val, train"),
    ],
)
def test_too_few_classes_or_images(tmp_path: Path, counts: dict[str, int], says: str) -> None:
    (tmp_path / "p").mkdir()
    class_folders(tmp_path / "p", counts)
    assert says in "\n".join(refused(tmp_path).lines())


def test_a_folder_too_high_is_recognised(tmp_path: Path) -> None:
    class_folders(tmp_path / "p" / "flowers", {"rose": 3, "tulip": 3})
    assert "flowers has 2 folders in it: name that one" in refused(tmp_path).hint


def test_a_class_that_is_only_in_val(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    image(root / "val" / "c" / "x.png", 300)
    assert refused(tmp_path).problems == ["class c: no image in train"]


def test_an_empty_val(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    shutil.rmtree(root / "val")
    (root / "val").mkdir()
    assert refused(tmp_path).problems == ["no image in val"]


def test_warnings(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p" / "train", {"a": 45, "A": 4, "b": 30}).parent
    class_folders(root / "val", {"a": 2, "A": 2}, first=200)
    stage = Stage(tmp_path, path=str(root))
    assert stage.audit.imbalance == 11.25
    assert stage.audit.warnings == [
        "no image in val, which can't be judged there: 1 of 3 classes (b)",
        "fewer than 10 training images: 1 of 3 classes (A: 4)",
        "heavy imbalance: 45 training images of a, 4 of A; see finetune.class_weights",
        "classes that differ in upper and lower case only: A = a",
    ]
    assert stage.said.notes[:-1] == stage.audit.warnings


def test_a_moved_image_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 40})
    seed, written = 1000, 0
    while written < 3:  # three images whose hash says train
        data = encoded(noise(seed), "PNG")
        path = root / "b" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if split_position(sha256(path)) < 0.2:
            path.unlink()
        else:
            written += 1
        seed += 1
    stage = Stage(tmp_path, path=str(root))
    assert stage.index.counts["val"]["b"] == 1
    moved = next(row.path for row in stage.index.rows if row.split == "val" and row.label == 1)
    assert (
        "too few images for the hash to split evenly: 1 class (b); "
        f"moved to another split: 1 ({moved}: train to val)"
    ) in stage.audit.warnings


def test_control_characters_in_a_file_name_are_not_printed(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    (root / "train" / "a" / "\x1b[2J.jpg").write_text("no")
    assert refused(tmp_path).problems[0].startswith("train/a/\\x1b[2J.jpg: not an image")


def test_a_bomb_is_named(tmp_path: Path) -> None:
    from test_portable_images import bomb

    (split_folders(tmp_path) / "train" / "a" / "bomb.png").write_bytes(bomb())
    assert "train/a/bomb.png: 50000×50000 pixels" in refused(tmp_path).problems[0]


def test_digits(tmp_path: Path) -> None:
    stage = Stage(tmp_path, path="sample:digits")
    assert stage.index.classes == tuple("0123456789") and len(stage.index.rows) == 1797
    assert 300 < len(stage.index.rows_of("val")) < 420
    assert not stage.audit.leaks and not stage.audit.conflicts


def test_csv(tmp_path: Path) -> None:
    lines = ["path,label,split"]
    for number in range(12):
        image(tmp_path / "img" / f"{number}.png", number)
        lines.append(f"img/{number}.png,{'xy'[number % 2]},{'val' if number > 7 else 'train'}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    stage = Stage(tmp_path, path=str(tmp_path / "list.csv"))
    assert stage.index.split_from == "csv" and stage.index.classes == ("x", "y")
    assert stage.index.counts == {"train": {"x": 4, "y": 4}, "val": {"x": 2, "y": 2}}


def test_photos_as_they_come(tmp_path: Path) -> None:
    """The shared flower photos, when they are there."""
    flowers = Path(__file__).resolve().parents[3] / "shared" / "photos" / "flowers"
    if not flowers.is_dir():
        pytest.skip("no shared photos beside the checkout")
    (tmp_path / "p").mkdir()
    for split in ("train", "val"):
        for label in ("roses", "tulips"):
            (tmp_path / "p" / split / label).mkdir(parents=True)
            for photo in sorted((flowers / split / label).iterdir())[:10]:
                (tmp_path / "p" / split / label / photo.name).symlink_to(photo)
    stage = Stage(tmp_path, path=str(tmp_path / "p"))
    assert stage.index.counts["train"] == {"roses": 10, "tulips": 10}
    assert stage.audit.warnings == []
