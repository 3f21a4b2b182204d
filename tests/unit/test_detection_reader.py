"""A detector's answers to ``tfedge predict``."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.inputs.images.anchors import anchors
from tfedge.tasks.drop import Told, Unreadable
from tfedge.tasks.object_detection.reader import DetectorReader
from tfedge.tasks.object_detection.work import ObjectDetection

SIZE, AT = 64, 27  # an anchor of the finest map, inside of the image
GRID = anchors(SIZE)
FACTS = {
    "input": {"dtype": "uint8", "shape": [1, SIZE, SIZE, 3], "fit": "stretch"},
    "output": {"shape": [1, len(GRID), 6], "anchors": "anchors.bin"},
    "classes": ["cat", "dog"],
}
FILES = {
    "anchors.bin": GRID.astype("<f4").tobytes(),
    "thresholds.txt": b"0.5000\tcat\n0.2500\tdog\n",
}


@pytest.fixture
def reader() -> DetectorReader:
    return ObjectDetection().reader(FACTS, FILES.__getitem__)


def nothing() -> np.ndarray:
    return np.zeros((len(GRID), 6), np.float32)


def test_the_best_boxes_are_told_as_shares_of_the_input(reader: DetectorReader) -> None:
    output = nothing()
    output[AT, 4:] = [0.5, 0.1]
    output[-1, 5] = 0.75
    found = reader.answer(output, 2)
    first, second = found.facts["boxes"]
    told = [(one["class"], one["score"]) for one in (first, second)]
    assert told == [("dog", 0.75), ("cat", 0.5)]
    x, y, wide, high = GRID[AT].tolist()
    expected = np.clip([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], 0, 1)
    np.testing.assert_allclose(second["box"], expected, atol=1e-4)  # told in four digits
    assert found.lines[0].startswith(" 75.0 %  dog  ") and len(found.lines) == 2
    assert len(reader.answer(output, 1).facts["boxes"]) == 1


def test_an_image_of_nothing_is_said(reader: DetectorReader) -> None:
    found = reader.answer(nothing(), 3)
    assert (found.facts, found.lines) == ({"boxes": []}, ["nothing found"])


def test_outputs_that_are_none_are_refused(reader: DetectorReader) -> None:
    for wrong in (nothing()[:, :5], nothing()[1:], np.full_like(nothing(), np.nan)):
        with pytest.raises(InvariantBroken, match=f"{len(GRID)} anchors"):
            reader.answer(wrong, 1)


def test_a_photo_is_read_as_in_training(reader: DetectorReader) -> None:
    file = io.BytesIO()
    Image.new("RGB", (90, 30), (10, 200, 30)).save(file, "PNG")
    pixels = reader.content(file.getvalue(), "photo.png")
    assert (pixels.shape, pixels.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert (pixels == [10, 200, 30]).all()
    with pytest.raises(Unreadable):
        reader.content(b"no image", "photo.png")


def test_anchors_of_another_count_are_no_contract() -> None:
    for short in (b"", FILES["anchors.bin"][:-16]):
        with pytest.raises(ValueError):
            DetectorReader(FACTS, (FILES | {"anchors.bin": short}).__getitem__)


def test_a_file_by_itself_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="anchors, which lie beside the file") as caught:
        ObjectDetection().alone(b"", Told(["cat", "dog"]))
    assert caught.value.hint == "name its drop or its run"
