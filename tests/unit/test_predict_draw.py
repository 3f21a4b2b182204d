"""``tfedge predict --draw``: what a detector has found, drawn into copies of its images."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from detector_helpers import SIZE, SQUARE, detector
from PIL import Image

from tfedge import cli, predict
from tfedge.drops.drawn import Drawn
from tfedge.drops.served import run_of
from tfedge.errors import ConfigError, DataError
from tfedge.files.artifact import write_json
from tfedge.inputs.images.anchors import anchors
from tfedge.pipeline.schema import pipeline_of
from tfedge.portable.boxes import CODER
from tfedge.portable.drawing import COLOURS
from tfedge.tasks.drop import Drawing
from tfedge.tasks.object_detection.script import EXAMPLE
from tfedge.tasks.object_detection.work import ObjectDetection

Said = pytest.CaptureFixture[str]
CLASSIFIER = Path(__file__).parents[2] / "models" / "digits-mobilenetv2"
RED, GREEN = ((255, 0, 0), (0, 255, 0))
OF_RED, OF_GREEN = (
    tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in COLOURS[:2]
)


def of_fit(folder: Path, fit: str) -> Path:
    """A run whose images become square in this way."""
    run = detector(folder)
    data = {"path": str(folder), "image_size": SIZE, "fit": fit}
    found = pipeline_of({"name": "squares", "task": "object-detection", "data": data})
    (run / "resolved.json").write_text(found.model_dump_json(exclude_none=True))
    return run


def scene(size: tuple[int, int] = (SIZE, SIZE), at: tuple[int, int] = (4, 4)) -> Image.Image:
    """A red square that is an anchor of the model where it sees the image in its own size."""
    image = Image.new("RGB", size)
    image.paste(RED, (*at, at[0] + SQUARE, at[1] + SQUARE))
    return image


def outlined(path: Path, colour: tuple[int, ...] = OF_RED) -> list[tuple[int, int]]:
    """The corners of what is drawn in a colour, its text left out: left top, right bottom."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        here = (np.asarray(image) == colour).all(-1)
    rows, columns = (np.flatnonzero(here.sum(axis) >= SQUARE - 2) for axis in (1, 0))
    if not len(rows):
        return []
    return [(int(columns[0]), int(rows[0])), (int(columns[-1]), int(rows[-1]))]


def near(found: list[tuple[int, int]], left: int, top: int) -> bool:
    """Whether an outline is that of a square there; the model's boxes are up to two pixels off."""
    expected = [(left, top), (left + SQUARE, top + SQUARE)]
    return bool(found) and int(np.abs(np.subtract(found, expected)).max()) <= 2


def test_the_box_is_drawn_where_the_thing_is(tmp_path: Path, capsys: Said) -> None:
    scene().save(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    run, out = detector(tmp_path / "run"), tmp_path / "made" / "out"
    words = ["predict", str(run), str(tmp_path / "photo.png"), "--draw", str(out), "--top", "1"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  drawn: {out / 'photo.png'}"
    assert near(outlined(out / "photo.png"), 4, 4)
    assert (tmp_path / "photo.png").read_bytes() == before
    assert cli.main([*words, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["drawn"] == str(out / "photo-2.png") and row["boxes"][0]["class"] == "red"


@pytest.mark.parametrize(
    ("fit", "size", "at"),
    [
        ("crop", (96, SIZE), (16 + 4, 4)),
        ("crop", (SIZE, 96), (4, 16 + 28)),
        ("pad", (SIZE, 48), (4, 12 - 8)),
        ("stretch", (SIZE, SIZE), (28, 4)),
    ],
)
def test_boxes_are_mapped_back_to_the_photo(
    fit: str, size: tuple[int, int], at: tuple[int, int], tmp_path: Path
) -> None:
    scene(size, at).save(tmp_path / "photo.png")
    (found,) = predict(of_fit(tmp_path / "run", fit), tmp_path / "photo.png", draw=tmp_path / "out")
    assert found.drawn is not None and near(outlined(found.drawn), *at)
    with Image.open(found.drawn) as drawn:
        assert drawn.size == size


def test_a_stretched_photo_has_its_box_in_its_own_sides(tmp_path: Path) -> None:
    scene().resize((2 * SIZE, SIZE)).save(tmp_path / "photo.png")
    run = of_fit(tmp_path / "run", "stretch")
    (found,) = predict(run, tmp_path / "photo.png", draw=tmp_path / "out")
    assert found.drawn is not None
    (left, top), (right, bottom) = outlined(found.drawn)
    sides = (left, top, right, bottom)
    assert sides == pytest.approx((8, 4, 2 * (4 + SQUARE), 4 + SQUARE), abs=4)  # twice two pixels


def test_turned_and_grey_images_are_drawn_as_the_model_sees_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen turned by a quarter
    scene((SIZE, 96), (4, 44)).transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / "turned.png", exif=exif
    )
    palette = scene().convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.gif")
    files = [tmp_path / "turned.png", tmp_path / "palette.gif"]
    turned, other = predict(of_fit(tmp_path / "run", "crop"), files, draw=tmp_path / "out")
    assert turned.drawn is not None and near(outlined(turned.drawn), 4, 44)
    with Image.open(turned.drawn) as drawn:
        assert drawn.size == (SIZE, 96) and drawn.getexif().get(0x0112, 1) == 1
    assert other.drawn is not None and near(outlined(other.drawn), 4, 4)


def test_only_boxes_from_the_threshold_of_their_class_are_drawn(tmp_path: Path) -> None:
    image = scene()
    image.paste(GREEN, (28, 28, 28 + SQUARE, 28 + SQUARE))
    image.paste((0, 0, 0), (28, 28, 36, 36))
    image.save(tmp_path / "photo.png")
    (answer,) = predict(detector(tmp_path / "a"), tmp_path / "photo.png", top=50)
    assert answer.answer is not None
    best = {}
    for box in answer.answer.facts["boxes"]:
        best.setdefault(box["class"], box["score"])
    assert set(best) == {"red", "green"}
    for name, least in (("all", 0.5), ("red", 0.0), ("none", 0.0)):
        wanted = {
            "all": {c: min(least, s) for c, s in best.items()},
            "red": {"red": best["red"], "green": best["green"] + 0.002},
            "none": {c: s + 0.002 for c, s in best.items()},
        }[name]
        run = detector(tmp_path / name, [wanted["red"] - 1e-4, wanted["green"] - 1e-4])
        (found,) = predict(run, tmp_path / "photo.png", draw=tmp_path / "out")
        assert found.drawn is not None
        with Image.open(found.drawn) as drawn:
            pixels = np.asarray(drawn)
        drawn_in = [bool((pixels == colour).all(-1).any()) for colour in (OF_RED, OF_GREEN)]
        assert drawn_in == {"all": [True, True], "red": [True, False], "none": [False] * 2}[name]


def drop_of(run: Path, folder: Path) -> Path:
    """What the script of a drop opens, by what the run says."""
    work = ObjectDetection()
    _, examples = run_of(run, run / "cache")
    files = {
        "m.tflite": (run / "convert" / "model.tflite").read_bytes(),
        "thresholds.txt": b"0.9000\tred\n0.9000\tgreen\n",
        **work.beside(examples),
    }
    given, taken = work.contract(files["m.tflite"], examples)
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    facts = {"model": "m.tflite", "files": listed, "golden": [], "input": given, "output": taken}
    folder.mkdir()
    for name, content in {**files, "detect.py": EXAMPLE.text()}.items():
        (folder / name).write_bytes(content)
    write_json(folder / "MANIFEST.json", facts | work.drop_facts(examples))
    return folder


def test_the_script_of_a_drop_draws_the_same(tmp_path: Path) -> None:
    run = of_fit(tmp_path / "run", "crop")
    photo = tmp_path / "photo.jpg"
    scene((96, SIZE), (20, 4)).save(photo)
    (found,) = predict(run, photo, draw=tmp_path / "out")
    words = [sys.executable, "-B", "detect.py", photo, "--draw", tmp_path / "drawn"]
    drop = drop_of(run, tmp_path / "drop")
    done = subprocess.run(words, cwd=drop, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["boxes"]) == 1
    assert found.drawn is not None
    assert found.drawn.read_bytes() == (tmp_path / "drawn" / "photo.png").read_bytes()


def test_deep_images_are_drawn_with_the_levels_that_the_model_sees() -> None:
    """Of 16 bits a channel, where almost all are below the upper eight."""
    size, at = 64, 27
    grid = anchors(size)
    facts = {
        "input": {
            **{"dtype": "uint8", "shape": [1, size, size, 3], "fit": "stretch"},
            "levels": [0, 255],
        },
        "output": {"shape": [1, len(grid), 5], "anchors": "anchors.bin"},
        "classes": ["cat"],
    }
    files = {"anchors.bin": grid.astype("<f4").tobytes(), "thresholds.txt": b"0.5000\tcat\n"}
    drawing = ObjectDetection().reader(facts, files.__getitem__).drawing()
    assert drawing is not None
    content, output = io.BytesIO(), np.zeros((len(grid), 5), np.float32)
    Image.fromarray(np.full((size, size), 200, np.uint16)).save(content, "PNG")
    output[at, :4] = np.array([0, 0, 0, 0]) * CODER
    output[at, 4] = 0.75
    with Image.open(io.BytesIO(drawing.drawn(content.getvalue(), output))) as drawn:
        pixels = np.asarray(drawn)
    assert pixels[-1, -1].tolist() == [200] * 3  # black by its upper eight bits
    x, y, _, high = grid[at] * size
    assert tuple(pixels[round(float(y - high / 2)), round(float(x))]) == OF_RED


def test_files_of_one_name_and_of_odd_names_get_one_each(tmp_path: Path) -> None:
    names = [
        "a/photo.png",
        "b/photo.png",
        "photo.bmp",
        ".png",
        "a/\n\x1b[2J.png",
        f"{'é' * 120}.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        scene().save(tmp_path / name, "PNG")
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo.png").symlink_to(tmp_path / "a" / "photo.png")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    found = predict(
        detector(tmp_path / "run"),
        [*(tmp_path / name for name in names), "-"],
        stream=io.BytesIO(before["photo.bmp"]),
        draw=out,
    )
    paths = [one.drawn for one in found]
    assert [path.name for path in paths if path is not None] == [
        *("photo-2.png", "photo-3.png", "photo-4.png", "png.png", "___2J.png"),
        *(f"{'é' * 60}.png", "input.png"),
    ]
    assert all(path is not None and path.parent == out for path in paths)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before


def test_an_image_in_the_folder_itself_stays_as_it_is(tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    before = hashlib.sha256((tmp_path / "photo.png").read_bytes()).hexdigest()
    (found,) = predict(detector(tmp_path / "run"), tmp_path / "photo.png", draw=tmp_path)
    assert found.drawn == tmp_path / "photo-2.png"
    assert hashlib.sha256((tmp_path / "photo.png").read_bytes()).hexdigest() == before


def test_what_is_no_image_is_told_and_the_rest_is_drawn(tmp_path: Path, capsys: Said) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    scene().save(photos / "a.png")
    (photos / "b.png").write_text("hello")
    scene().save(photos / "c.png")
    words = ["predict", str(detector(tmp_path / "run")), str(photos), "--draw", str(out)]
    assert cli.main(words) == DataError.exit_code
    assert "b.png: not an image" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]


def test_what_has_no_boxes_is_refused_before_anything(tmp_path: Path, capsys: Said) -> None:
    scene().save(tmp_path / "photo.png")
    words = ["predict", str(CLASSIFIER), str(tmp_path / "photo.png"), "--draw"]
    assert cli.main([*words, str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "--draw: this model's answers have no place on its inputs" in said.err
    assert not (tmp_path / "out").exists()


def test_without_thresholds_nothing_says_what_is_drawn(tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    run = detector(tmp_path / "run", None)
    with pytest.raises(ConfigError, match="from which scores boxes count"):
        predict(run, tmp_path / "photo.png", draw=tmp_path / "out")
    (found,) = predict(run, tmp_path / "photo.png")
    assert found.drawn is None and "drawn" not in found.to_json()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    with pytest.raises(ConfigError, match=r"photo\.png is not a folder"):
        predict(detector(tmp_path / "run"), tmp_path / "photo.png", draw=tmp_path / "photo.png")


def test_a_file_that_comes_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    def drawn(content: bytes, output: np.ndarray) -> bytes:
        (tmp_path / "a.x").write_bytes(b"another's")
        return content

    made = Drawn(tmp_path, Drawing(".x", drawn)).write("../../a.png", b"mine", np.zeros(1))
    assert made == tmp_path / "a-2.x" and made.read_bytes() == b"mine"
    assert (tmp_path / "a.x").read_bytes() == b"another's"
