from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from data_helpers import Said, class_folders, image, sha256
from sklearn.datasets import load_digits

from tfedge.data.listing import Listing, list_folder
from tfedge.data.samples import kept_sample
from tfedge.data.sources import data_root, scan, source_digest
from tfedge.data.table import list_csv
from tfedge.errors import ArtifactError, DataError, TfedgeError
from tfedge.files.progress import NoProgress
from tfedge.inputs.images.schema import ImageData as Data


def listed(root: Path, **data: object) -> Listing:
    return scan(Data(path=str(root), **data), root.parent / "cache", NoProgress()).listing  # type: ignore[arg-type]


def splits(listing: Listing) -> dict[str, str | None]:
    return {entry.path: entry.split for entry in listing.entries}


def message(error: pytest.ExceptionInfo[TfedgeError]) -> str:
    return "\n".join(error.value.lines())


# Folders


def test_class_folders_with_nested_hidden_and_other_files(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos", {"b": 2, "a": 1})
    image(root / "a" / "2023" / "May" / "x.PNG", 50)
    for name in (".DS_Store", "a/.hidden.png", "a/._x.png", "__MACOSX/a/y.png"):
        image(root / name, 60)
    for name in ("a/Thumbs.db", "b/notes.txt", "readme.md"):
        (root / name).write_text("no image")
    image(root / "loose.jpg", 61)
    listing = listed(root)
    assert [entry.path for entry in listing.entries] == [
        "a/000.png",
        "a/2023/May/x.PNG",
        "b/000.png",
        "b/001.png",
    ]
    assert [entry.label for entry in listing.entries] == ["a", "a", "b", "b"]
    assert listing.classes == ("a", "b") and listing.split_from == "content hash"
    assert listing.shares and listing.shares.val == 0.2 and listing.shares.test == 0
    assert listing.warnings == (
        "2 files ignored, no image by name: b/notes.txt, readme.md",
        "1 file ignored, in no class folder: loose.jpg",
        "3 files passed over, hidden or of a system's own (thumbnails, trash): "
        "__MACOSX/a/y.png, a/._x.png, a/.hidden.png",
    )


@pytest.mark.parametrize("val", ["val", "validation", "valid"])
def test_folders_that_say_the_split(tmp_path: Path, val: str) -> None:
    for folder in ("train", val, "test"):
        class_folders(tmp_path / "p" / folder, {"a": 1, "b": 1})
    listing = listed(tmp_path / "p")
    assert splits(listing) == {
        f"{folder}/{label}/000.png": split
        for folder, split in (("train", "train"), (val, "val"), ("test", "test"))
        for label in "ab"
    }
    assert listing.split_from == "folders" and listing.shares is None and not listing.warnings


def test_train_and_test_without_val_leave_train_to_the_hash(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        class_folders(tmp_path / "p" / folder, {"a": 1, "b": 1})
    listing = listed(tmp_path / "p")
    assert splits(listing)["train/a/000.png"] is None
    assert splits(listing)["test/a/000.png"] == "test"
    assert listing.split_from == "folders"
    assert listing.shares and (listing.shares.val, listing.shares.test) == (0.2, 0.0)
    assert listing.warnings == ("no val folder: 20% of train is split off by content hash",)
    own = listed(tmp_path / "p", split={"val": 0.5})
    assert own.shares and own.shares.val == 0.5
    with pytest.raises(DataError, match=r"data\.split is given"):
        listed(tmp_path / "p", split={"val": 0.5, "test": 0.1})


def test_train_alone_is_split_as_if_it_were_the_root(tmp_path: Path) -> None:
    class_folders(tmp_path / "p" / "train", {"a": 1, "b": 1})
    listing = listed(tmp_path / "p", split={"val": 0.3, "test": 0.1})
    assert set(splits(listing).values()) == {None} and listing.classes == ("a", "b")
    assert listing.split_from == "content hash" and listing.shares
    assert listing.shares.test == 0.1


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (["train", "val", "dogs"], "beside train, val there is dogs: split or class?"),
        (["val", "test"], "has test and val but no train"),
        (["train", "val", "valid"], "two folders for one split"),
        (["Train", "Val"], "Train, Val looks like a split, by another name"),
        (["train", "Validation"], "Validation looks like a split"),
        (["training", "testing"], "looks like a split"),
    ],
)
def test_layouts_that_can_be_read_in_two_ways(
    tmp_path: Path, folders: list[str], says: str
) -> None:
    for folder in folders:
        class_folders(tmp_path / "p" / folder, {"a": 1, "b": 1})
    with pytest.raises(DataError) as caught:
        listed(tmp_path / "p")
    assert says in message(caught) and caught.value.exit_code == 4 and caught.value.hint


def test_a_class_called_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"bus": 1, "train": 1, "tram": 1})
    assert listed(root).classes == ("bus", "train", "tram")


def test_an_explicit_split_beside_split_folders_is_an_error(tmp_path: Path) -> None:
    for folder in ("train", "val"):
        class_folders(tmp_path / "p" / folder, {"a": 1, "b": 1})
    with pytest.raises(DataError, match="the data say the split themselves") as caught:
        listed(tmp_path / "p", split={"val": 0.2})
    assert "remove data.split" in caught.value.hint


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 1, "b": 1})
    image(tmp_path / "elsewhere" / "x.png", 70)
    (root / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "one.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (root / "b" / "self.png").symlink_to(root / "b" / "self.png")
    listing = listed(root)
    paths = [entry.path for entry in listing.entries]
    assert paths == ["a/000.png", "a/linked/x.png", "b/000.png", "b/one.png", "b/self.png"]
    assert listing.entries[-1].stamp is None
    (root / "a" / "up").symlink_to(root)
    with pytest.raises(DataError, match="in a circle"):
        listed(root)


def test_names_that_no_labels_file_could_hold(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 1, "b\nc": 1, " d": 1})
    image(root / "a" / os.fsdecode(b"caf\xe9.png"), 5)
    with pytest.raises(DataError) as caught:
        listed(root)
    text = message(caught)
    assert " d: the class name begins or ends with a blank" in text
    assert "b\\nc: the class name has control characters" in text
    assert "a/caf\\udce9.png: the file name is not UTF-8" in text


def test_unreadable_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be listed"):
        list_folder(tmp_path / "gone", None)


# data.path


def test_a_missing_folder_has_a_guess(tmp_path: Path) -> None:
    class_folders(tmp_path / "flowers", {"a": 1})
    with pytest.raises(DataError) as caught:
        listed(tmp_path / "flower")
    assert f"no such folder, did you mean {tmp_path / 'flowers'}?" in message(caught)


def test_a_file_that_is_no_csv(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"neither a folder nor a \.csv file"):
        listed(tmp_path / "photos.zip")
    with pytest.raises(DataError, match="no such file"):
        listed(tmp_path / "list.csv")


# CSV


def csv_file(tmp_path: Path, *lines: str) -> Path:
    for number in range(4):
        image(tmp_path / "img" / f"{number}.png", number)
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_csv_without_split(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "\ufeffpath,label", "img/1.png, dog ", "", './img/0.png,"cat, black"')
    listing = list_csv(path, None)
    assert [(e.path, e.label, e.split) for e in listing.entries] == [
        ("img/0.png", "cat, black", None),
        ("img/1.png", "dog", None),
    ]
    assert listing.root == tmp_path and listing.split_from == "content hash" and listing.shares
    assert data_root(Data(path=str(path)), tmp_path / "cache") == tmp_path


def test_csv_with_split(tmp_path: Path) -> None:
    lines = ["img/0.png,a,train", "img/1.png,b,valid", "img/2.png,a,test"]
    listing = list_csv(csv_file(tmp_path, "path,label,split", *lines), None)
    assert splits(listing) == {"img/0.png": "train", "img/1.png": "val", "img/2.png": "test"}
    assert listing.split_from == "csv" and listing.shares is None


def test_csv_without_val_splits_it_off_train(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path,label,split", "img/0.png,a,train", "img/1.png,b,test")
    listing = list_csv(path, None)
    assert splits(listing) == {"img/0.png": None, "img/1.png": "test"}
    assert listing.split_from == "csv" and listing.shares and listing.warnings


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("img/0.png,../x", "label '../x' looks like a path"),
        ("img/0.png,a\\b", "looks like a path"),
        ("img/0.png,..", "looks like a path"),
        ("img/0.png,", "label '' is empty"),
        ('img/0.png," "', "is empty"),
        ("img/0.png,a\x1b[31m", "control characters"),
        ("img/0.png," + "x" * 101, "more than 100 characters"),
        ("../x.png,a", "../x.png lies outside of the CSV's folder"),
        ("img/../../x.png,a", "outside of the CSV's folder"),
        ("/etc/passwd,a", "outside of the CSV's folder"),
        ("..,a", "outside of the CSV's folder"),
        (",a", "the path is empty"),
        ("img/0.png", "expected 2 cells (path,label), got 1"),
        ("img/0.png,a,train", "expected 2 cells (path,label), got 3"),
        ("img/1.png,b", "img/1.png stands on line 2 already"),
    ],
)
def test_bad_csv_lines_are_named(tmp_path: Path, line: str, says: str) -> None:
    path = csv_file(tmp_path, "path,label", "img/1.png,a", line)
    with pytest.raises(DataError) as caught:
        list_csv(path, None)
    assert f"{path}:3: " in message(caught) and says in message(caught)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", ":1: expected the header path,label or path,label,split, got nothing"),
        (b"file,class\n1.png,a\n", ":1: expected the header path,label"),
        (b"path;name\n1.png;a\n", "got path,name"),
        (b"path,label\n\xe9.png,a\n", "not UTF-8 (byte 11)"),
        (b"\xff\xfep\0a\0t", "not UTF-16"),
        (b'path,label\n"a.png,b\n', ":2: no CSV"),
        (b"path,label\n1.png,a\n2.png,b\0c\n", "list.csv:3:"),
        (b"path,label,split\n1.png,a,dev\n", "split 'dev' is none of train, val"),
    ],
)
def test_files_that_are_no_csv_of_ours(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list_csv(path, None)
    assert says in message(caught)


def test_only_the_first_bad_csv_lines_are_shown(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path,label", *["img/0.png,../x"] * 30)
    with pytest.raises(DataError) as caught:
        list_csv(path, None)
    assert len(caught.value.problems) == 4
    assert caught.value.problems[-1] == "… and 27 more lines like these"


# The built-in sample


def test_digits_are_the_same_files_everywhere(tmp_path: Path) -> None:
    root = kept_sample("sample:digits", tmp_path).bring(NoProgress())
    assert root == tmp_path / "samples" / "digits-1"
    assert sorted(folder.name for folder in root.iterdir()) == list("0123456789")
    assert len(list(root.rglob("*.png"))) == 1797
    first = sha256(root / "0" / "0000.png")
    assert first == "db8eb7474a3095a68798c92f311a63da9d1ab77ed9ec2ae7a1c0342bc6fd68b0"
    assert [path.name for path in (tmp_path / "samples").iterdir() if "tmp" in path.name] == []


def test_digits_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = Path.write_bytes, iter(range(10**6))

    def full(self: Path, data: bytes) -> int:
        if next(count) == 700:
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ArtifactError, match="no space left"):
        kept_sample("sample:digits", tmp_path).bring(NoProgress())
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"digits-1.lock"}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda root: [path.unlink() for path in (root / "3").iterdir()], "3/0000.png is missing"),
        (lambda root: (root / "3" / "0004.png").write_bytes(b"x"), "has 1 bytes, not "),
        (lambda root: (root / "3" / "cat.png").write_bytes(b"x"), "3/cat.png does not belong"),
        (
            lambda root: shutil.copy(root / "4" / "0000.png", root / "3" / "0000.png"),
            "3/0000.png is not what was written",
        ),
        (lambda root: shutil.rmtree(root), ""),
        (lambda root: (root.parent / "digits-1.files.json").write_text("{"), "is missing or damag"),
        (lambda root: (root.parent / "digits-1.files.json").write_text("[1]"), "missing or damag"),
    ],
)
def test_a_sample_that_somebody_has_changed_is_made_again(
    tmp_path: Path, damage: Callable[[Path], object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = load_digits()
    few = SimpleNamespace(images=digits.images[:100], target=digits.target[:100])  # is quicker
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)
    data = Data(path="sample:digits")
    before = source_digest(data, tmp_path)
    damage(tmp_path / "samples" / "digits-1")
    notes = Said()
    assert source_digest(data, tmp_path, progress=notes) == before
    assert says in "\n".join(notes.notes)
    again = Said()
    assert source_digest(data, tmp_path, progress=again) == before and again.notes == []


def test_an_unknown_sample_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample 'digit', did you mean digits\?.*digits"):
        source_digest(Data(path="sample:digit"), tmp_path, hash_new=False)


# Digests


def test_the_digest_follows_what_is_there(tmp_path: Path) -> None:
    root, cache = class_folders(tmp_path / "p", {"a": 2, "b": 2}), tmp_path / "cache"
    data = Data(path=str(root))

    def now() -> str | None:
        return source_digest(data, cache)

    assert source_digest(data, cache, hash_new=False) is None
    assert not cache.exists()
    first = now()
    assert first == now() == source_digest(data, cache, hash_new=False)
    image(root / "a" / "new.png", 80)
    assert source_digest(data, cache, hash_new=False) is None
    added = now()
    assert added not in (first, None)
    (root / "a" / "new.png").rename(root / "b" / "new.png")
    moved = now()
    assert moved not in (first, added)
    (root / "b" / "new.png").unlink()
    assert now() == first
    (root / "c").mkdir()
    assert now() != first


def test_a_change_that_keeps_size_and_mtime_is_seen(tmp_path: Path) -> None:
    root, cache = class_folders(tmp_path / "p", {"a": 1, "b": 1}), tmp_path / "cache"
    data, path = Data(path=str(root)), root / "a" / "000.png"
    first, info = source_digest(data, cache), path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x00")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert path.stat().st_size == info.st_size and path.stat().st_mtime_ns == info.st_mtime_ns
    assert source_digest(data, cache, hash_new=False) is None
    assert source_digest(data, cache) != first


def test_a_flipped_bit_in_what_is_remembered_of_files_changes_nothing(tmp_path: Path) -> None:
    """A changed digest would be taken for that of an image, by every run from then on."""
    root, cache = class_folders(tmp_path / "p", {"a": 1, "b": 1}), tmp_path / "cache"
    data = Data(path=str(root))
    first = source_digest(data, cache)
    (file,) = (cache / "stat").glob("*.json")
    sound = file.read_bytes()
    for bit in range(0, 8 * len(sound), 7):  # one in each byte, at least
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        assert source_digest(data, cache, hash_new=False) in (None, first), bit
        if bit % 49 == 0:
            assert source_digest(data, cache) == first
    for text in ("[" * 100_000, "[1]", "7", ""):
        file.write_text(text)
        assert source_digest(data, cache) == first
        assert file.read_bytes() == sound


@pytest.mark.parametrize(("age", "waits"), [(0.001, True), (0.5, False), (-5, False)])
def test_a_file_of_this_very_tick_is_hashed_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, waits: bool
) -> None:
    root, slept = class_folders(tmp_path / "p", {"a": 1, "b": 1}), []
    newest = (root / "b" / "000.png").stat().st_ctime_ns
    monkeypatch.setattr("tfedge.data.digests.time.time_ns", lambda: newest + int(age * 1e9))
    monkeypatch.setattr("tfedge.data.digests.time.sleep", slept.append)
    source_digest(Data(path=str(root)), tmp_path / "cache")
    assert bool(slept) == waits


def test_files_are_hashed_once(tmp_path: Path) -> None:
    root, cache = class_folders(tmp_path / "p", {"a": 3, "b": 2}), tmp_path / "cache"
    said = Said()
    scan(Data(path=str(root)), cache, said)
    assert said.updates[-1] == ("hash", 5, 5, "images")
    again = Said()
    found = scan(Data(path=str(root)), cache, again)
    assert again.updates == []
    assert found.digests["a/000.png"] == sha256(root / "a" / "000.png")
    next((cache / "stat").iterdir()).write_text("{broken")
    assert source_digest(Data(path=str(root)), cache, hash_new=False) is None
    assert source_digest(Data(path=str(root)), cache) == found.digest


def test_files_that_are_not_there_have_a_reason(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 1, "b": 1})
    (root / "a" / "broken.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "a" / "pipe.png")
    found = scan(Data(path=str(root)), tmp_path / "cache", NoProgress())
    assert found.unreadable == {"a/broken.png": "no such file", "a/pipe.png": "no such file"}
    assert source_digest(Data(path=str(root)), tmp_path / "cache", hash_new=False) is None


def test_importing_the_sources_is_light() -> None:
    code = (
        "import sys, tfedge.data.sources, tfedge.data.index\n"
        "heavy = {'numpy', 'PIL', 'requests', 'sklearn', 'tensorflow', 'concurrent.futures'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
