"""What the audit sees: formats by name, levels of 16 bits, images that look alike, groups."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from awkward_images import sixteen_bit_rgb
from data_helpers import Stage, class_folders, encoded, noise
from PIL import Image, ImageFilter

from tfedge.data.groups import expression_problem, grouped
from tfedge.data.listing import Entry
from tfedge.data.near import near_pairs, numbered
from tfedge.errors import DataError
from tfedge.portable.levels import deep_levels, in_eight_bits, is_deep


def refused(tmp_path: Path, **data: object) -> DataError:
    with pytest.raises(DataError) as caught:
        Stage(tmp_path, path=str(tmp_path / "p"), **data)
    assert caught.value.exit_code == 4
    return caught.value


# Formats


def iso(brand: bytes, *more: bytes) -> bytes:
    head = b"ftyp" + brand + bytes(4) + b"".join(more)
    return (len(head) + 4).to_bytes(4, "big") + head + bytes(500)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.HEIC", iso(b"heic", b"mif1"), "HEIC, which is not read"),
        ("a.jpg", iso(b"mif1", b"heic"), "HEIC, which is not read"),
        ("a.heif", iso(b"mif1"), "HEIF, which is not read"),
        ("a.avif", iso(b"avif", b"mif1"), "AVIF, which is not read"),
        ("a.cr3", iso(b"crx "), "a raw file of a camera (CR3)"),
        ("a.jpg", iso(b"isom"), "a video"),
        ("a.tif", encoded(noise(1), "TIFF"), "TIFF, which is not read"),
        ("a.jpg", encoded(noise(1), "TIFF"), "TIFF, which is not read"),
        ("a.DNG", encoded(noise(1), "TIFF"), "a raw file of a camera (DNG)"),
        ("a.nef", encoded(noise(1), "TIFF"), "a raw file of a camera (NEF)"),
        ("a.ppm", encoded(noise(1), "PPM"), "a PNM file"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "JPEG 2000"),
        ("a.jpg", b"<!DOCTYPE html><html>404</html>", "a web page, not an image"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("a.dcm", bytes(128) + b"DICM" + bytes(99), "DICOM"),
        ("a.psd", b"8BPS" + bytes(99), "a Photoshop file"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    root = class_folders(tmp_path / "p", {"a": 6, "b": 6})
    (root / "a" / name).write_bytes(content)
    error = refused(tmp_path)
    assert error.problems == [line for line in error.problems if line.startswith(f"a/{name}: ")]
    assert says in error.problems[0] and "on_bad_image: skip" in error.hint
    assert any(way in error.hint for way in ("JPEG or PNG", "git lfs pull", "download"))
    stage = Stage(tmp_path, path=str(root), on_bad_image="skip")
    assert [row["path"] for row in stage.audit.skipped] == [f"a/{name}"]


# Sixteen bits


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def deep(seed: int, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (40, 40)).astype(np.uint16)


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """Two classes of a camera of 10 bits whose files have 16."""
    for number in range(24):
        path = tmp_path / "p" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(deep(number, 100 * (number % 2), 800)))
    return tmp_path


def test_an_image_of_which_three_levels_are_left_is_an_error(cameras: Path) -> None:
    error = refused(cameras)
    assert error.problems[0].startswith("a/0.png: 16 bits, of whose ")
    assert error.problems[20] == "… and 4 more like these"
    assert "levels (0 to 799) 4 are left" in error.problems[0]
    assert "set data.range: [BLACK, WHITE]" in error.hint
    again = refused(cameras)  # nothing was kept of the first time
    assert again.problems == error.problems


def test_data_range_spreads_the_levels(cameras: Path) -> None:
    stage = Stage(cameras, path=str(cameras / "p"), range=(0, 1023))
    assert len(stage.index.rows) == 24
    assert "are left by data.range" in refused(cameras, range=(799, 65535)).problems[0]


def test_spread_pixels() -> None:
    levels = deep(1, 0, 1024)
    for data, expected in (
        (png(levels), np.repeat(levels[:, :, None], 3, 2)),
        (sixteen_bit_rgb(np.stack([levels] * 3, -1)), np.repeat(levels[:, :, None], 3, 2)),
    ):
        assert is_deep(data)
        np.testing.assert_array_equal(deep_levels(data)[:, :, 0], levels)
        with Image.open(io.BytesIO(in_eight_bits(data, (100, 900)))) as image:
            got = np.asarray(image.convert("RGB")).astype(float)
        np.testing.assert_allclose(got, np.clip((expected - 100.0) / 800 * 255, 0, 255), atol=0.51)
    assert not is_deep(encoded(noise(1), "PNG")) and not is_deep(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    "pixels",
    [deep(1, 0, 65536), np.where(deep(2, 0, 2) > 0, 65535, 0).astype(np.uint16)],
    ids=["full range", "black and white"],
)
def test_sixteen_bits_that_lose_nothing_are_read(tmp_path: Path, pixels: np.ndarray) -> None:
    root = class_folders(tmp_path / "p", {"a": 6, "b": 6})
    (root / "a" / "deep.png").write_bytes(png(pixels))
    assert len(Stage(tmp_path, path=str(root)).index.rows) == 13


def test_colour_of_sixteen_bits_is_looked_at_too(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 6, "b": 6})
    (root / "a" / "deep.png").write_bytes(sixteen_bit_rgb(np.stack([deep(1, 0, 700)] * 3, -1)))
    assert "levels (1 to 699) 3 are left" in refused(tmp_path).problems[0]


def test_images_of_one_colour_are_a_warning(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 12, "b": 14})
    for number in range(4):
        image = Image.new("RGB", (30, 30), (number, 0, 0))
        image.save(root / "a" / f"black{number}.png")
    (warning,) = [w for w in Stage(tmp_path, path=str(root)).audit.warnings if "colour" in w]
    assert warning.startswith("images of next to one colour only: 4 (a/black0.png")


# Images that look alike


def scene(seed: int) -> Image.Image:
    """Something smooth, as photographs are."""
    small = noise(seed, 9, 12)
    return small.resize((240, 180), Image.Resampling.BICUBIC)


CHANGES = {
    "compressed": lambda image: encoded(image, "JPEG", quality=60),
    "smaller": lambda image: encoded(image.resize((160, 120)), "PNG"),
    "darker": lambda image: encoded(image.point(lambda level: int(level * 0.85)), "PNG"),
    "blurred": lambda image: encoded(image.filter(ImageFilter.GaussianBlur(1.5)), "PNG"),
    "cut": lambda image: encoded(image.crop((1, 1, 239, 179)), "PNG"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_identical_images_over_splits_are_named(tmp_path: Path, change: str) -> None:
    for number in range(40):
        split = "train" if number < 30 else "val"
        path = tmp_path / "p" / split / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(number).save(path)
    (tmp_path / "p" / "val" / "a" / "again.jpg").write_bytes(CHANGES[change](scene(4)))
    stage = Stage(tmp_path, path=str(tmp_path / "p"), image_size=97)
    (warning,) = stage.audit.warnings
    assert "1 of them in val or test: train/a/4.png (train) ≈ val/a/again.jpg (val)" in warning
    assert "data.group" in warning
    assert [[p["path"] for p in pair["pictures"]] for pair in stage.audit.near] == [
        ["train/a/4.png", "val/a/again.jpg"]
    ]


def frames(root: Path, videos: int = 6, count: int = 8) -> None:
    for video in range(videos):
        for number in range(count):
            shifted = np.roll(np.asarray(scene(video)).astype(int), number // 2, 1)
            noisy = shifted + np.random.default_rng(number).normal(0, 1.5, shifted.shape)
            path = root / "ab"[video % 2] / f"cam{video}_{number:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=88)


def test_frames_of_a_video_stay_together_by_data_group(tmp_path: Path) -> None:
    frames(tmp_path / "p")
    plain = Stage(tmp_path, path=str(tmp_path / "p"))
    (warning,) = [line for line in plain.audit.warnings if "near-identical" in line]
    expression = warning.split("data.group: ")[1].strip("'")
    stage = Stage(tmp_path, path=str(tmp_path / "p"), group=expression)
    assert not [line for line in stage.audit.warnings if "near-identical" in line]
    by_video: dict[str, set[str]] = {}
    for path, split in stage.splits().items():
        by_video.setdefault(path[:6], set()).add(split)
    assert len(by_video) == 6 and all(len(splits) == 1 for splits in by_video.values())
    assert set(stage.splits().values()) == {"train", "val"}
    error = refused(tmp_path, group="(cam)")
    assert "class a: 1 group(s), too few for val, train" in error.problems


def test_groups_of_a_csv(tmp_path: Path) -> None:
    frames(tmp_path / "p")
    files = sorted((tmp_path / "p").rglob("*.jpg"))
    rows = [f"{f.relative_to(tmp_path / 'p')},{f.parent.name},{f.name[:4]}" for f in files]
    csv = tmp_path / "p" / "list.csv"
    csv.write_text("\n".join(["path,label,video", *rows]))
    stage = Stage(tmp_path, path=str(csv), group="video")
    splits = {(path[:6], split) for path, split in stage.splits().items()}
    assert len(splits) == 6


def test_a_group_that_the_data_s_own_split_parts_is_a_leak(tmp_path: Path) -> None:
    class_folders(tmp_path / "p" / "train", {"a": 4, "b": 4})
    class_folders(tmp_path / "p" / "val", {"a": 4, "b": 4}, first=50)
    error = refused(tmp_path, group=r"[ab]/(00)1|[ab]/(?:003)")
    assert error.problems[0].startswith(
        "group 00 in two splits: train/a/001.png (train) = val/a/001.png (val)"
    )
    stage = Stage(tmp_path, path=str(tmp_path / "p"), group="[ab]/(00)1", on_leak="drop")
    assert stage.index.counts["train"] == {"a": 3, "b": 3}


def entries(*paths: str) -> list[Entry]:
    return [Entry(path, "a", None, None) for path in paths]


def test_expressions() -> None:
    found, warnings = grouped(entries("a/cam1_2.png", "a/cam2_1.png", "a/x.png"), r"(cam\d+)_")
    assert [entry.group for entry in found] == ["cam1", "cam2", None]
    assert warnings == ["data.group: in no group, and so each by itself: 1 (a/x.png)"]
    with pytest.raises(DataError, match=r"finds nothing in a/x\.png"):
        grouped(entries("a/x.png"), "(cam)")
    for wrong, says in (
        ("(a)(b)", "has 2"),
        ("(?:a)", "has 0"),
        ("(a", "no regular expression"),
        ("(a" + "a" * 400 + ")", "more than 300"),
        ("(a){99999999999}", "no regular expression"),
    ):
        assert says in str(expression_problem(wrong))


@pytest.mark.parametrize("expression", [r"((?:a+)+)$", r"(.*.*.*.*.*.*.*.*x)", r"((?:a|aa)+)!"])
def test_an_expression_without_end_is_ended(expression: str) -> None:
    began = time.monotonic()
    with pytest.raises(DataError, match="takes longer than 1 s"):
        grouped(entries("a" * 200 + "b" * 100), expression, seconds=1)
    assert time.monotonic() - began < 5


def test_pairs_are_found_among_very_many_in_little_time() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 100_000).tolist()
    hashes[50_000:50_100] = [
        h ^ (1 << (i % 60)) ^ (1 << (i * 7 % 60)) for i, h in enumerate(hashes[:100])
    ]
    hashes[60_000:80_000] = [0] * 20_000  # flat images, all of one hash
    keys = [f"{number:06}" for number in range(len(hashes))]
    parts = ["val" if number >= 50_000 else "train" for number in range(len(hashes))]
    began = time.process_time()
    pairs = near_pairs(keys, hashes, parts, lambda one, other: one != other)
    assert time.process_time() - began < 20
    assert {(f"{n:06}", f"{50_000 + n:06}") for n in range(100)} <= set(pairs)


def test_a_number_at_the_end_is_proposed_as_a_group() -> None:
    pairs = [("a/cam1_001.jpg", "a/cam1_007.jpg"), ("b/x-1.png", "b/x-2.png")]
    expression = numbered(pairs)
    assert expression is not None
    found, _ = grouped(entries("a/cam1_001.jpg", "b/x-2.png", "b/y (3).png"), expression)
    assert [entry.group for entry in found] == ["a/cam1", "b/x", None]
    assert numbered([("a/rose.jpg", "a/tulip.jpg")]) is None


def test_the_index_of_digits_is_as_it_was(tmp_path: Path) -> None:
    """Its digest goes into the keys of all later stages."""
    stage = Stage(tmp_path, path="sample:digits", split={"val": 0.15, "test": 0.15})
    digest = json.loads(stage.index_bytes)["digest"]
    assert digest == "537efb61c11fd615b361a2a86bdedf1fac54db763e582594b628bf09dd35f571"
    assert stage.audit.warnings == []


def test_sixteen_bits_are_spread_alike_in_training_in_a_drop_and_by_evaluate(
    tmp_path: Path,
) -> None:
    from tfedge.benchmark.fit import levels_of
    from tfedge.inputs.images.pictures import Decoding
    from tfedge.tasks.image_classification.script.classify import pixels_of

    path = tmp_path / "deep.png"
    path.write_bytes(png(deep(3, 100, 900)))
    trained = Decoding(32, "crop", (100, 900)).pixels(path.read_bytes(), path.name)
    given = {"shape": [1, 32, 32, 3], "fit": "crop", "levels": [100, 900]}
    drop: Any = SimpleNamespace(**given)
    np.testing.assert_array_equal(pixels_of(drop, path), trained)
    assert np.ptp(trained) > 150
    (tmp_path / "m.tflite").touch()
    assert levels_of(tmp_path / "m.tflite") is None
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"model": "m.tflite", "input": given}))
    assert levels_of(tmp_path / "m.tflite") == (100, 900)
    run = tmp_path / "run"
    (run / "convert").mkdir(parents=True)
    (run / "resolved.json").write_text(json.dumps({"data": {"range": [1, 2]}}))
    assert levels_of(run / "convert" / "model.tflite") == (1, 2)
    (run / "resolved.json").write_text(json.dumps({"data": {}}))
    assert levels_of(run / "convert" / "model.tflite") is None


def test_levels_are_in_keys_and_manifest(tmp_path: Path) -> None:
    from color_helpers import make_run

    from tfedge.inputs.images.pictures import DecodedImages
    from tfedge.tasks.image_classification.drop import contract
    from tfedge.tasks.image_classification.examples import LabelledImages

    run = make_run(tmp_path)
    model = (run.folder / "convert" / "model.tflite").read_bytes()
    context = run.context("evaluate")
    from tfedge.stages.examples import examples_of

    plain = examples_of(context)
    here = plain.images  # type: ignore[attr-defined]
    ranged = LabelledImages(
        DecodedImages(here.index, here.root, here.cache, here.size, here.fit, (0, 4095))
    )
    assert "levels" not in contract(model, plain)[0]  # type: ignore[arg-type]
    assert contract(model, ranged)[0]["levels"] == [0, 4095]
    assert here.store.folder != ranged.images.store.folder
