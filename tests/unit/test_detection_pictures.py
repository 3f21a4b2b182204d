"""The worst images of a detector, with what is there and what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_data_helpers import Picture as Drawn
from box_data_helpers import Thing, write_voc

from tfedge.data.audit import Findings
from tfedge.files.progress import NoProgress
from tfedge.inputs.images.anchors import anchors
from tfedge.pipeline.schema import pipeline_of
from tfedge.portable.boxes import CODER
from tfedge.report import html
from tfedge.report.document import Document
from tfedge.tasks.blocks import Bars, Figure, Part, Pictures
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.metrics import ClassDetection, DetectorMetrics
from tfedge.tasks.object_detection.report import _class_bars, _samples, _shown
from tfedge.tasks.object_detection.report import data as data_blocks
from tfedge.tasks.object_detection.work import ObjectDetection
from tfedge.tasks.paired import wilson

SIZE = 64
GRID = anchors(SIZE)
CAT = Thing("cat", 10, 10, 30, 30)  # of an image of 80 × 80 pixels
DOG = Thing("dog", 40, 40, 70, 60)


@pytest.fixture
def images(tmp_path: Path) -> BoxedImages:
    found = [Drawn(f"p{n:02d}", (80, 80), (CAT, DOG)) for n in range(8)]
    root = write_voc(tmp_path / "set", found)
    data = {"path": str(root), "image_size": SIZE, "split": {"val": 0.3, "test": 0.0}}
    pipeline = pipeline_of({"name": "x", "task": "object-detection", "data": data})
    ObjectDetection().scan(pipeline, tmp_path / "cache", NoProgress(), tmp_path)
    args = (tmp_path / "index.json", pipeline.data, root, tmp_path / "cache")
    return ObjectDetection().examples(*args)


def outputs(images: BoxedImages, *found: tuple[Thing, int, float]) -> np.ndarray:
    """float [1, A, 4 + classes]: (what, class, score), each by the anchor that is nearest."""
    made = np.zeros((1, len(GRID), 4 + len(images.classes)), np.float32)
    for thing, label, score in found:
        corners = np.array([thing.left, thing.top, thing.right, thing.bottom]) / 80
        middle, size = (corners[:2] + corners[2:]) / 2, corners[2:] - corners[:2]
        at = int(np.abs(GRID[:, :2] - middle).sum(1).argmin())
        cx, cy, wide, high = GRID[at]
        differs = [
            (middle[1] - cy) / high,
            (middle[0] - cx) / wide,
            np.log(size[1] / high),
            np.log(size[0] / wide),
        ]
        made[0, at, :4] = np.array(differs) * CODER
        made[0, at, 4 + label] = score
    return made


def test_answers_are_kept_with_their_boxes_and_drawn(images: BoxedImages) -> None:
    row = images.rows_of("val")[0]
    cat = images.classes.index("cat")
    said = outputs(images, (CAT, cat, 0.9), (DOG, cat, 0.6))
    (worst,) = ObjectDetection().worst(said, images, [row], 5, lambda inputs: inputs)
    first, second = worst["answers"]
    assert (first["class"], first["score"], first["right"]) == ("cat", 0.9, True)
    assert first["box"] == pytest.approx([0.125, 0.125, 0.375, 0.375], abs=0.01)
    assert (second["class"], second["right"]) == ("cat", False)  # a dog is there
    assert second["box"] == pytest.approx([0.5, 0.5, 0.875, 0.75], abs=0.01)
    (block,) = _shown([worst], images)
    assert isinstance(block, Pictures) and block.listed
    (one,) = block.pictures
    assert (
        one.caption.replace("\N{NO-BREAK SPACE}", " ")
        == "F1 0.67; there: cat, dog; found: ✓ cat 0.90, ✗ cat 0.60"
    )
    assert [box.state for box in one.boxes] == ["there", "there", "right", "wrong"]
    assert one.boxes[0].corners == pytest.approx((10 / 80, 10 / 80, 30 / 80, 30 / 80))
    assert one.content is not None and one.content.startswith(b"\xff\xd8\xff")


def test_rows_of_earlier_versions_show_what_is_there_alone(images: BoxedImages) -> None:
    path = images.names(images.rows_of("val"))[0]
    row = {"path": path, "f1": 0.5, "boxes": 2, "found": 1, "wrong": 0, "missed": 1}
    (block,) = _shown([row], images)
    assert isinstance(block, Pictures)
    assert block.pictures[0].caption == "F1 0.50; there: cat, dog"
    assert [box.state for box in block.pictures[0].boxes] == ["there", "there"]
    assert _shown([row], None) == []


def test_samples_have_their_boxes(images: BoxedImages) -> None:
    (gallery,) = [block for block in _samples(images) if isinstance(block, Pictures)]
    assert len(gallery.pictures) == len(images.rows_of("train"))
    assert {one.caption for one in gallery.pictures} == {"cat, dog"}
    assert all(len(one.boxes) == 2 for one in gallery.pictures)


def test_a_page_of_many_boxes_and_findings_stays_small(tmp_path: Path) -> None:
    """Of noise, which compresses worst."""
    things = tuple(Thing("cat", 3 * n, 5, 3 * n + 20, 60) for n in range(20))
    root = write_voc(tmp_path / "set", [Drawn(f"p{n:03d}", (190, 190), things) for n in range(120)])
    data = {"path": str(root), "image_size": 160, "split": {"val": 0.3, "test": 0.0}}
    pipeline = pipeline_of({"name": "x", "task": "object-detection", "data": data})
    ObjectDetection().scan(pipeline, tmp_path / "cache", NoProgress(), tmp_path)
    index = tmp_path / "index.json"
    images = ObjectDetection().examples(index, pipeline.data, root, tmp_path / "cache")
    names = images.names(range(120))
    alike = [{"path": name, "label": images.index.annotations[0], "split": "val"} for name in names]
    groups = [{"pictures": alike}] * 50
    found = Findings(conflicts=groups, leaks=groups, near=groups, copies=groups)
    found.remark({f"odd in way {n}": names for n in range(4)})
    answer = {"box": [0.1, 0.1, 0.5, 0.5], "class": "cat", "score": 0.5, "right": False}
    worst = [{"path": name, "f1": 0.1, "answers": [answer] * 30} for name in names]
    blocks = [*_shown(worst, images), *data_blocks(images.index, found, images)]
    page = html.text(Document("run", [], [Part("Part", blocks)])).encode()
    assert page.count(b"data:image/jpeg") > 100 and len(page) < 2_000_000


def test_a_class_that_is_only_found_wrongly_has_a_bar_of_its_precision() -> None:
    known: dict[str, Any] = {"ap50": 0.0, "ap": 0.0, "threshold": 0.5, "recall": 0.0, "f1": 0.0}
    row = ClassDetection(name="cat", precision=0.0, support=4, found=3, **known)
    means: dict[str, Any] = {"map50": 0.0, "map50_ci95": (0, 0), "map": 0.0, "map_ci95": (0, 0)}
    found = DetectorMetrics(n=2, boxes=4, per_class=[row], **means)
    plots = [block.plot for block in _class_bars(found, "int8") if isinstance(block, Figure)]
    recall, precision = (plot for plot in plots if isinstance(plot, Bars))
    assert recall.rows == precision.rows == [("cat", 0.0, "0.0 %")]
    assert precision.intervals == [wilson(0, 3)]
