"""The boxes of a detector's golden pairs, as ``tfedge verify`` holds them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tfedge.drops.verify import replay_here
from tfedge.errors import DropError
from tfedge.inputs.images.anchors import anchors
from tfedge.portable.boxes import boxes_of
from tfedge.tasks.contract import taken_ports
from tfedge.tasks.drop import Content, Pair
from tfedge.tasks.object_detection.drop import check
from tfedge.tasks.object_detection.files import golden_files, threshold_lines, thresholds
from tfedge.tflite.apart import Answers

SIZE, AT, CLASSES = 64, 27, ["cat", "dog"]
GRID = anchors(SIZE)
TAKEN: dict[str, Any] = {
    **{"dtype": "uint8", "shape": [1, len(GRID), 6], "scale": None, "zero_point": 0},
    "parts": [
        {"name": "boxes", "shape": [1, len(GRID), 4], "scale": 0.1, "zero_point": 128},
        {"name": "scores", "shape": [1, len(GRID), 2], "scale": 1 / 256, "zero_point": 0},
    ],
    "anchors": "anchors.bin",
}
FACTS = {
    **{"task": "object-detection", "model": "m.tflite", "classes": CLASSES, "output": TAKEN},
    "input": {"dtype": "uint8", "shape": [1, SIZE, SIZE, 3]},
    "files": {name: {} for name in ("labels.txt", "anchors.bin", "thresholds.txt")},
    "golden": [{"input": "golden/000.input.bin", "output": "golden/000.output.bin"}],
}


def output() -> np.ndarray:
    stored = np.full((len(GRID), 6), 128, np.uint8)
    stored[:, 4:] = 0
    stored[AT, 4] = 200
    return stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a drop's check and replay open, as it is made."""
    beside = {"anchors.bin": GRID.astype("<f4").tobytes()}
    chosen = SimpleNamespace(chosen={"thresholds": [0.5, 0.3]})
    content = SimpleNamespace(
        facts={"classes": CLASSES},
        taken=TAKEN,
        metrics=chosen,
        golden=[Pair(np.zeros(0), output(), {})],
        beside=beside,
    )
    made = cast(Content, content)
    files = {**beside, "thresholds.txt": threshold_lines(made), **golden_files(made)}
    files |= {"labels.txt": b"cat\ndog\n", "golden/000.output.bin": output().tobytes()}
    (tmp_path / "golden").mkdir()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def replayed(folder: Path, got: np.ndarray) -> tuple[str, ...]:
    """The problems of a replay in which a model gives that."""
    ports = taken_ports(TAKEN)
    return replay_here(folder, FACTS, lambda *asked: Answers("LiteRT", ports, (got,))).problems


def test_a_pair_has_the_boxes_that_are_made_of_its_outputs(folder: Path) -> None:
    (box,) = boxes_of((folder / "golden/000.boxes.bin").read_bytes())
    x, y, wide, high = GRID[AT].tolist()
    wanted = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2, 200 / 256, 0]
    np.testing.assert_allclose(box, wanted, atol=1e-6)
    assert check(folder, FACTS)[0].problems == () == replayed(folder, output())


def test_a_drop_has_the_thresholds_that_were_chosen(folder: Path) -> None:
    assert (folder / "thresholds.txt").read_text("utf-8") == "0.5000\tcat\n0.3000\tdog\n"


def test_a_moved_box_is_a_problem(folder: Path) -> None:
    got = output()
    got[AT, 1] += 20
    (told,) = replayed(folder, got)
    assert told == "golden/000.output.bin: a box is elsewhere: class 0, score 0.78, IoU 0.67"


@pytest.mark.parametrize("scores", [(0, 0), (0, 200)], ids=["lost", "of another class"])
def test_a_box_that_is_lost_or_of_another_class_is_a_problem(
    scores: tuple[int, int], folder: Path
) -> None:
    got = output()
    got[AT, 4:] = scores
    assert replayed(folder, got) == ("golden/000.output.bin: scores differ by 0.781",)


def test_a_box_of_another_machine_is_fine_within_the_tolerances(folder: Path) -> None:
    got = output()
    got[AT] += np.uint8([1, 1, 1, 1, 0, 0])
    got[AT, 4] -= 40
    assert replayed(folder, got) == ()


CHANGES = {
    "moved": lambda box: box + np.float32([0.01, 0, 0.01, 0, 0, 0]),
    "of another class": lambda box: np.r_[box[:5], np.float32(1)],
    "lost": lambda box: box[:0],
    "twice": lambda box: np.r_[box, box],
}


@pytest.mark.parametrize("kind", CHANGES)
def test_boxes_that_are_not_those_of_the_outputs_are_a_problem(kind: str, folder: Path) -> None:
    """A manifest with the digest of the changed file does not help."""
    path = folder / "golden/000.boxes.bin"
    box = np.frombuffer(path.read_bytes(), "<f4")
    path.write_bytes(CHANGES[kind](box).astype("<f4").tobytes())
    (told,) = check(folder, FACTS)[0].problems
    assert told == "golden/000.boxes.bin: not the boxes of golden/000.output.bin"
    (told,) = replayed(folder, output())
    assert told.endswith("the expected outputs have other boxes here")


@pytest.mark.parametrize("name", ["anchors.bin", "thresholds.txt"])
def test_pairs_are_judged_with_what_the_drop_answers_by(name: str, folder: Path) -> None:
    """Devices are given the folder of the pairs alone."""
    path = folder / "golden" / name
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6") + b"\0")
    assert check(folder, FACTS)[0].problems == (f"golden/{name} is another than {name}",)


@pytest.mark.parametrize("metrics", [None, SimpleNamespace(chosen=None)])
def test_without_thresholds_that_were_chosen_no_drop_is_made(metrics: object) -> None:
    """0.5, guessed, would cost a dozen points."""
    with pytest.raises(DropError, match="the scores from which boxes count are not known"):
        thresholds(cast(Content, SimpleNamespace(metrics=metrics)))
