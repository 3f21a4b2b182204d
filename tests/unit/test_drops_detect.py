"""detect.py, as it lies in a drop, with an interpreter that answers what a test wants."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfedge.inputs.images.anchors import anchors
from tfedge.tasks.object_detection.script import EXAMPLE

SIZE, CLASSES = 64, ["cat", "dog"]
GRID = anchors(SIZE)
BOXES = {"shape": [1, len(GRID), 4], "scale": 0.1, "zero_point": 128}
SCORES = {"shape": [1, len(GRID), 2], "scale": 1 / 256, "zero_point": 0}

AT = 27  # an anchor of the finest map, inside of the image
X, Y, W, H = GRID[AT].tolist()
GOLDEN_BOX = np.array([X - W / 2, Y - H / 2, X + W / 2, Y + H / 2, 200 / 256, 0], "<f4")

# An ai-edge-litert whose outputs stand in a file, and in the file's order: scores first.
INTERPRETER = """
import os
import numpy as np

class Interpreter:
    def __init__(self, model_content, num_threads, experimental_delegates):
        self.outputs = np.load(os.environ["OUTPUTS"])
    def allocate_tensors(self):
        pass
    def get_input_details(self):
        return [{"index": 0, "shape": np.array([1, 64, 64, 3]), "dtype": np.uint8, "name": "in"}]
    def get_output_details(self):
        return [
            {"index": i, "name": n, "shape": np.array(self.outputs[n].shape), "dtype": np.uint8}
            for i, n in enumerate(("scores", "boxes"))
        ]
    def set_tensor(self, index, value):
        assert value.shape == (1, 64, 64, 3) and value.dtype == np.uint8
    def invoke(self):
        pass
    def get_tensor(self, index):
        return self.outputs[("scores", "boxes")[index]]
"""


class Detecting:
    """A drop, and what its model answers."""

    def __init__(self, folder: Path, fit: str = "stretch") -> None:
        self.folder = folder / "drop"
        (self.folder / "golden").mkdir(parents=True)
        self.boxes = np.full((1, len(GRID), 4), 128, np.uint8)
        self.scores = np.zeros((1, len(GRID), 2), np.uint8)
        golden = self.scores.copy()
        golden[0, AT] = [200, 10]
        (self.folder / "detect.py").write_bytes(EXAMPLE.text())
        (self.folder / "ai_edge_litert").mkdir()
        (self.folder / "ai_edge_litert" / "__init__.py").touch()
        (self.folder / "ai_edge_litert" / "interpreter.py").write_text(INTERPRETER)
        files = {
            "m.tflite": b"m",
            "anchors.bin": GRID.astype("<f4").tobytes(),
            "thresholds.txt": b"0.5000\tcat\n0.2500\tdog\n",
            "golden/000.input.bin": bytes(SIZE * SIZE * 3),
            "golden/000.output.bin": np.concatenate([self.boxes, golden], -1).tobytes(),
            "golden/000.boxes.bin": GOLDEN_BOX.tobytes(),
        }
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        listed = {n: {"sha256": hashlib.sha256(c).hexdigest()} for n, c in files.items()}
        taken = {
            **{"dtype": "uint8", "shape": [1, len(GRID), 6], "scale": None, "zero_point": 0},
            "parts": [{"name": "boxes", **BOXES}, {"name": "scores", **SCORES}],
            "anchors": "anchors.bin",
        }
        pair = {"input": "golden/000.input.bin", "output": "golden/000.output.bin"}
        facts = {
            **{"model": "m.tflite", "files": listed, "golden": [pair], "classes": CLASSES},
            "input": {"shape": [1, SIZE, SIZE, 3], "fit": fit},
            "output": taken,
        }
        (self.folder / "MANIFEST.json").write_text(json.dumps(facts))

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        outputs = self.folder / "outputs.npz"
        np.savez(outputs, boxes=self.boxes, scores=self.scores)
        env = {"PATH": os.environ["PATH"], "OUTPUTS": str(outputs), "PYTHONUTF8": "1"}
        command = [sys.executable, "-B", "detect.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=env)


def photo(folder: Path, size: tuple[int, int] = (200, 100)) -> Path:
    path = folder / "photo.png"
    Image.new("RGB", size, "white").save(path)
    return path


def in_pixels(width: float, height: float) -> list[float]:
    return (GOLDEN_BOX[:4] * [width, height, width, height]).tolist()


def test_it_finds_by_name_and_tells_boxes_in_pixels(tmp_path: Path) -> None:
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [200, 10]
    done = drop.run(photo(tmp_path))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["boxes"]
    assert (row["class"], row["score"]) == ("cat", 0.7812)
    np.testing.assert_allclose(row["box"], in_pixels(200, 100), atol=0.06)


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        ("crop", [x + o for x, o in zip(in_pixels(100, 100), (50, 0, 50, 0), strict=True)]),
        ("pad", [x - o for x, o in zip(in_pixels(200, 200), (0, 50, 0, 50), strict=True)]),
    ],
)
def test_boxes_are_where_they_are_in_the_photo(
    fit: str, wanted: list[float], tmp_path: Path
) -> None:
    drop = Detecting(tmp_path, fit)
    drop.scores[0, AT] = [200, 10]
    (row,) = json.loads(drop.run(photo(tmp_path)).stdout)["boxes"]
    np.testing.assert_allclose(row["box"], np.clip(wanted, 0, [200, 100, 200, 100]), atol=0.06)


def test_each_class_has_the_score_that_was_chosen(tmp_path: Path) -> None:
    """0.5 and 0.25; one guessed score for all would lose a dozen points of average precision."""
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [127, 63]
    file = photo(tmp_path)
    assert json.loads(drop.run(file).stdout)["boxes"] == []
    drop.scores[0, AT] = [127, 64]
    assert [row["class"] for row in json.loads(drop.run(file).stdout)["boxes"]] == ["dog"]
    both = json.loads(drop.run(file, "--least", "0.2").stdout)["boxes"]
    assert sorted(row["class"] for row in both) == ["cat", "dog"]


def test_a_photo_is_drawn(tmp_path: Path) -> None:
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [200, 10]
    assert drop.run(photo(tmp_path), "--draw", tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out" / "photo.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    left, top, *_ = (round(side) for side in in_pixels(200, 100))
    assert drawn.size == (200, 100) and pixels[top, left].tolist() != [255, 255, 255]


def test_a_photo_of_16_bits_is_drawn_on_as_the_model_sees_it(tmp_path: Path) -> None:
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [200, 10]
    manifest = drop.folder / "MANIFEST.json"
    facts = json.loads(manifest.read_text())
    facts["input"]["levels"] = [0, 255]
    manifest.write_text(json.dumps(facts))
    file = tmp_path / "deep.png"
    Image.fromarray(np.full((100, 200), 150, np.uint16)).save(file)
    assert drop.run(file, "--draw", tmp_path / "out").returncode == 0
    with Image.open(tmp_path / "out" / "deep.png") as drawn:
        assert drawn.convert("RGB").getpixel((199, 99)) == (150, 150, 150)  # not black


def test_what_is_no_photo_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    drop = Detecting(tmp_path)
    (tmp_path / "no.png").write_text("hello")
    done = drop.run(tmp_path / "no.png", tmp_path / "gone.png", photo(tmp_path))
    assert done.returncode == 2 and len(done.stdout.splitlines()) == 1
    first, second = done.stderr.splitlines()
    assert "no.png: not an image" in first and "gone.png: no such file" in second


@pytest.mark.parametrize(("off", "code"), [(0, 0), (40, 0), (41, 1)])
def test_golden_pairs_are_held_to_the_rule_of_boxes(off: int, code: int, tmp_path: Path) -> None:
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [200 - off, 10]
    done = drop.run("--check")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("scores differ by 0.160" in done.stdout) == bool(code)


def test_a_golden_box_that_is_elsewhere_fails_the_check(tmp_path: Path) -> None:
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [200, 10]
    drop.boxes[0, AT, 1] += 20  # a fifth of an anchor: IoU 2/3
    done = drop.run("--check")
    assert done.returncode == 1
    assert "a box is elsewhere: class 0, score 0.78, IoU 0.67" in done.stdout


@pytest.mark.parametrize(
    "boxes",
    [
        GOLDEN_BOX + np.float32([0.01, 0, 0.01, 0, 0, 0]),
        np.r_[GOLDEN_BOX[:5], np.float32(1)],
        GOLDEN_BOX[:0],
    ],
    ids=["moved", "of another class", "lost"],
)
def test_other_boxes_of_the_golden_outputs_fail_the_check(
    boxes: np.ndarray, tmp_path: Path
) -> None:
    """Though the model answers as it did."""
    drop = Detecting(tmp_path)
    drop.scores[0, AT] = [200, 10]
    (drop.folder / "golden/000.boxes.bin").write_bytes(boxes.astype("<f4").tobytes())
    done = drop.run("--check")
    assert done.returncode == 1
    assert "000.output.bin: the expected outputs have other boxes here" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("anchors.bin", b"1", "anchors.bin: 1 bytes, not 1344"),
        ("thresholds.txt", b"0.5\tcat\n", "thresholds.txt: 1 scores for 2 classes"),
        ("thresholds.txt", b"half\tcat\n", "thresholds.txt: could not convert"),
        ("m.tflite", b"x", "m.tflite is not the file that MANIFEST.json names"),
        ("golden/000.boxes.bin", b"1", "000.boxes.bin: buffer size must be a multiple"),
        ("golden/000.boxes.bin", bytes(2401), "000.boxes.bin: 2401 bytes, more than 2400"),
    ],
)
def test_a_drop_that_is_damaged_is_said(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    drop = Detecting(tmp_path)
    (drop.folder / name).write_bytes(content)
    done = drop.run("--check" if "golden" in name else photo(tmp_path))
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
