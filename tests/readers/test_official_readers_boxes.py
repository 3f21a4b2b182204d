"""A detector's Android drop, read and run by what its users have: tflite-support and MediaPipe.

MediaPipe's boxes are others in the end: an anchor has one box, whose classes stand beside each
other, and of boxes that overlap by more than 0.3 only the best one stays, whatever their classes.
That is done here, too, to what LiteRT gives for the same pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from handmade_detector import CLASSES, SIZE, detector, detector_drop, scene
from PIL import Image
from read_by import read_by

from tfedge.cli import main
from tfedge.data.sources import data_root
from tfedge.drops import manifest
from tfedge.inputs.images.anchors import anchors
from tfedge.pipeline.schema import pipeline_of
from tfedge.portable.boxes import CODER, iou
from tfedge.portable.images import decode
from tfedge.tasks.object_detection.android import MEDIAPIPE_OVERLAP
from tfedge.tasks.object_detection.work import ObjectDetection
from tfedge.tflite.runtime import predict

BCCD = Path(__file__).parents[3] / "shared" / "photos" / "bccd"
SAME, OFF = 0.9, 0.05  # IoU and difference of scores of boxes that are the same
# Of equal scores, and of 8 bits many are equal, MediaPipe may take another box first than we do:
# its sort is not a stable one. (Of trained detectors 1 to 3 % of the boxes.)
LEAST_SAME = 0.93
TIMES = 3  # pixels are repeated: its boxes are whole pixels, and a small one would be rounded away

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["uint8", "float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def drop(dtype: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector_drop(tmp_path_factory.mktemp("drop"), dtype=dtype)


def check_metadata(found: dict[str, Any], version: str) -> dict[str, Any]:
    """Field by field, as the schema's own JSON writes it; returns the rest of the graph."""
    (graph,) = found.pop("subgraph_metadata")
    assert found == {
        "name": "squares",
        "description": "Finds where on an image things of 3 classes are.",
        "version": version,
        "min_parser_version": "1.5.0",
    }
    (image,) = graph.pop("input_tensor_metadata")
    scores, location = graph.pop("output_tensor_metadata")
    size = image["content"]["content_properties"]["default_size"]
    assert size == {"width": SIZE, "height": SIZE}
    assert (scores["name"], location["name"]) == ("score", "location")
    (labels,) = scores["associated_files"]
    assert (labels["name"], labels["type"]) == ("labels.txt", "TENSOR_AXIS_LABELS")
    content = location["content"]
    assert content["content_properties_type"] == "BoundingBoxProperties"
    assert content["content_properties"] == {"type": "BOUNDARIES"}
    return graph


def version(drop: Path) -> str:
    return manifest.load(drop)["run_key"][:12]


def test_tflite_support_reads_it_field_by_field(
    drop: Path, dtype: str, tflite_support: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(detector(dtype))
    model = drop / "assets/squares.tflite"
    found = read_by(tflite_support, "reader_tflite_support.py", model, plain)
    assert found["files"] == {"labels.txt": "".join(f"{name}\n" for name in CLASSES)}
    assert found["rewritten"] == found["metadata"], "the official writer changes nothing in it"
    (custom,) = check_metadata(found["metadata"], version(drop))["custom_metadata"]
    assert custom["name"] == "DETECTOR_METADATA"


class Boxes(NamedTuple):
    """[n] of an image: sides as shares of it, scores, classes."""

    sides: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def at(self, places: Sequence[int]) -> Boxes:
        return Boxes(*(part[list(places)] for part in self))


def of_anchors(output: np.ndarray, grid: np.ndarray) -> Boxes:
    """The box of each anchor, not cut at the edge of the image, with its best class."""
    deltas, scores = output[:, :4] / CODER, output[:, 4:]
    middle = deltas[:, [1, 0]] * grid[:, 2:] + grid[:, :2]
    wide = np.exp(deltas[:, [3, 2]]) * grid[:, 2:]
    sides = np.concatenate([middle - wide / 2, middle + wide / 2], 1)
    return Boxes(sides, scores.max(1), scores.argmax(1))


def as_mediapipe_tells(found: Boxes) -> Boxes:
    """No box begins before the image, and none is larger: but one may end behind it."""
    low = np.maximum(found.sides[:, :2], 0)
    wide = np.minimum(found.sides[:, 2:] - found.sides[:, :2], 1)
    return found._replace(sides=np.concatenate([low, low + wide], 1))


def kept(found: Boxes, least: float) -> Boxes:
    """Those of a score that none better overlaps, whatever its class."""
    order = np.argsort(-found.scores, kind="stable")
    places: list[int] = []
    for at in order[found.scores[order] >= least].tolist():
        others = found.sides[places].reshape(-1, 4)
        if not (iou(found.sides[at][None], others) > MEDIAPIPE_OVERLAP).any():
            places.append(at)
    return found.at(places)


def matched(some: Boxes, others: Boxes) -> int:
    """How many of some are among the others."""
    overlap = iou(some.sides, others.sides) >= SAME
    near = np.abs(some.scores[:, None] - others.scores[None]) <= OFF
    return int((overlap & near & (some.classes[:, None] == others.classes[None])).any(1).sum())


def asked(
    mediapipe: Path,
    model: Path,
    images: np.ndarray,
    least: float,
    names: Sequence[str],
    tmp: Path,
) -> tuple[list[Boxes], dict[str, Any]]:
    """What MediaPipe finds on images [n, S, S, 3] of the model's own size, and what it reads."""
    files = [tmp / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image.repeat(TIMES, 0).repeat(TIMES, 1)).save(file)
    found = read_by(mediapipe, "reader_mediapipe_boxes.py", model, Path(str(least)), *files)
    side, answers = TIMES * images.shape[1], []
    for answer in found["answers"]:
        rows = np.array([row[:5] for row in answer], np.float64).reshape(-1, 5)
        low, wide = rows[:, :2] / side, rows[:, 2:4] / side
        numbers = np.array([names.index(row[5]) for row in answer], int)
        answers.append(Boxes(np.concatenate([low, low + wide], 1), rows[:, 4], numbers))
    return answers, found


def compared(
    mediapipe: Path,
    model: Path,
    images: np.ndarray,
    least: float,
    names: Sequence[str],
    tmp: Path,
) -> tuple[float, int]:
    """Which share of our boxes MediaPipe finds, and how many there are. All of its own are those of
    an anchor, and it finds as many."""
    theirs, _ = asked(mediapipe, model, images, least, names, tmp)
    grid = anchors(images.shape[1])
    same = count = told = known = 0
    for output, answer in zip(predict(model, images), theirs, strict=True):
        every = of_anchors(output, grid)
        ours = as_mediapipe_tells(kept(every, least))
        same, count = same + matched(ours, answer), count + len(ours.scores)
        told, known = told + len(answer.scores), known + matched(answer, as_mediapipe_tells(every))
    print(f"{same} of {count} boxes are MediaPipe's, {known} of its {told} are those of an anchor")
    assert known >= 0.98 * told, "its decoding is ours, but for whole pixels"
    assert abs(told - count) <= 0.05 * count
    return same / count, count


def test_mediapipe_reads_it_and_finds_what_litert_finds(
    drop: Path, mediapipe: Path, tmp_path: Path
) -> None:
    model = drop / "assets/squares.tflite"
    images = []
    for seed in range(20):
        scene(seed).save(tmp_path / "scene.png")
        images.append(decode(tmp_path / "scene.png", SIZE, "stretch"))
    share, count = compared(mediapipe, model, np.stack(images), 0.4, CLASSES, tmp_path)
    assert share >= LEAST_SAME and count > 50
    _, found = asked(mediapipe, model, np.stack(images[:1]), 0.4, CLASSES, tmp_path)
    assert found["files"] == {"labels.txt": "".join(f"{name}\n" for name in CLASSES)}
    (custom,) = check_metadata(found["metadata"], version(drop))["custom_metadata"]
    rows = custom["data"]["ssd_anchors_options"]["fixed_anchors_schema"]["anchors"]
    sides = ("x_center", "y_center", "width", "height")
    read = np.array([[row[side] for side in sides] for row in rows])
    np.testing.assert_allclose(read, anchors(SIZE), atol=1e-6)  # as JSON writes them
    options = custom["data"]["tensors_decoding_options"]
    assert (options["num_boxes"], options["num_classes"]) == (len(rows), len(CLASSES))


RUNS = {
    "sample": ({"path": "sample:scenes", "image_size": 129, "augment": {"views": 1}}, 100),
    "bccd": ({"path": str(BCCD), "image_size": 257, "augment": {"views": 1}}, 300),
}


@pytest.mark.train
@pytest.mark.parametrize("name", RUNS)
def test_mediapipe_finds_what_litert_finds_of_a_whole_run(
    name: str, mediapipe: Path, tmp_path: Path
) -> None:
    """Neck and head on a frozen base: enough to have boxes, and thresholds."""
    pytest.importorskip("pycocotools")
    data, many = RUNS[name]
    if name == "bccd" and not BCCD.is_dir():
        pytest.skip("no BCCD on this machine")
    content = {
        **{"name": name, "task": "object-detection", "data": data, "finetune": {"epochs": 12}},
        **{"quantize": {"recipe": "ptq"}, "evaluate": {"robustness": 0}},
        "package": {"targets": ["android"]},
    }
    file, run, cache = tmp_path / "boxes.yaml", tmp_path / "run", tmp_path / "cache"
    file.write_text(json.dumps(content))  # JSON is YAML
    assert main(["run", str(file), "--run-dir", str(run), "--cache", str(cache)]) == 0
    section = pipeline_of(content).data
    index, task = run / "data" / "index.json", ObjectDetection()
    examples = task.examples(index, section, data_root(section, cache), cache)
    rows = examples.rows_of("test")
    drop = run / "drops" / "android"
    lines = (drop / "assets/thresholds.txt").read_text("utf-8").splitlines()
    least = min(float(line.split("\t")[0]) for line in lines)
    model, images = drop / "assets" / f"{name}.tflite", examples.inputs(rows)
    share, count = compared(mediapipe, model, images, least, list(examples.classes), tmp_path)
    assert share >= LEAST_SAME and count > many
