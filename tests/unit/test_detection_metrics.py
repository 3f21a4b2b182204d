"""Average precision, thresholds, what is right in an image: of boxes that are known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from tfedge.core import gates
from tfedge.core.outputs import Evaluation
from tfedge.errors import GateFailed
from tfedge.inputs.images.anchors import anchors
from tfedge.inputs.images.annotations.index import Truth
from tfedge.pipeline.load import load
from tfedge.pipeline.rules import check
from tfedge.pipeline.schema import head_kinds, pipeline_of
from tfedge.portable import precision
from tfedge.portable.boxes import CODER
from tfedge.tasks.object_detection import metrics
from tfedge.tasks.object_detection.work import ObjectDetection

PIPELINES = Path(__file__).parents[2] / "pipelines"
SIZE, CLASSES = 64, ("cat", "dog")
GRID = anchors(SIZE)


def truth(*things: tuple[int, int], ignored: tuple[int, ...] = ()) -> Truth:
    """Boxes that are anchors: (anchor, class)."""
    at = [anchor for anchor, _ in things]
    middle, half = GRID[at, :2], GRID[at, 2:] / 2
    boxes = np.clip(np.concatenate([middle - half, middle + half], 1), 0, 1)
    labels = np.array([label for _, label in things], int)
    flags = np.array([place in ignored for place in range(len(things))], bool)
    return Truth(boxes.reshape(-1, 4).astype(np.float32), labels, flags)


def outputs(*rows: list[tuple[int, int, float]]) -> np.ndarray:
    """Of each image what is found: (anchor, class, score), each box its anchor."""
    found = np.zeros((len(rows), len(GRID), 4 + len(CLASSES)), np.float32)
    for image, row in enumerate(rows):
        for anchor, label, score in row:
            found[image, anchor, 4 + label] = score
    return found


def as_array(*truths: Truth) -> np.ndarray:
    found = np.empty(len(truths), object)
    for place, one in enumerate(truths):
        found[place] = one
    return found


INNER = 27  # an anchor of the finest map that is inside of the image
OTHER = 36


def test_all_found_and_nothing_else_is_one() -> None:
    known = as_array(truth((INNER, 0), (OTHER, 1)), truth((OTHER, 0)))
    said = outputs([(INNER, 0, 0.9), (OTHER, 1, 0.8)], [(OTHER, 0, 0.7)])
    assert metrics.average(said, known) == pytest.approx(1.0, abs=1e-9)
    found = metrics.measure(said, known, CLASSES, np.array([0.5, 0.5]))
    assert (found.map50, found.map) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.boxes == 3
    assert [(row.precision, row.recall, row.support) for row in found.per_class] == [
        (1.0, 1.0, 2),
        (1.0, 1.0, 1),
    ]


def test_a_half_found_class_and_one_that_is_not() -> None:
    known = as_array(truth((INNER, 0)), truth((INNER, 0)), truth((OTHER, 1)))
    said = outputs([(INNER, 0, 0.9)], [], [])
    found = metrics.measure(said, known, CLASSES, np.array([0.5, 0.5]))
    # 101 points of recall, the first 51 of which are reached
    assert found.per_class[0].ap50 == pytest.approx(51 / 101)
    assert found.per_class[1].ap50 == 0 and found.map50 == pytest.approx(51 / 202)
    low, high = found.map50_ci95
    assert low < found.map50 < high


def test_a_worse_score_than_a_false_one_costs() -> None:
    known = as_array(truth((INNER, 0)))
    assert metrics.average(outputs([(INNER, 0, 0.4), (OTHER, 0, 0.9)]), known) == pytest.approx(0.5)


def test_what_is_ignored_is_neither_right_nor_wrong() -> None:
    known = as_array(truth((INNER, 0), (OTHER, 0), ignored=(1,)))
    said = outputs([(INNER, 0, 0.6), (OTHER, 0, 0.9)])
    found = metrics.measure(said, known, CLASSES, np.array([0.5, 0.5]))
    assert found.per_class[0].ap50 == pytest.approx(1.0)
    assert (found.per_class[0].precision, found.per_class[0].support) == (1.0, 1)


def test_a_box_is_found_once() -> None:
    """Of two boxes over one thing the second is wrong, also where both pass suppression."""
    known = as_array(truth((INNER, 0)))
    said = outputs([(INNER, 0, 0.9)])
    moved = said.copy()
    moved[0, INNER + 1] = moved[0, INNER]
    moved[0, INNER + 1, 1] = CODER[1] * 0.2  # IoU with the first below the limit of suppression
    boxes = metrics.found_in(moved)[0]
    assert len(boxes) == 2
    assert metrics.matched(boxes, known[0]).right.tolist() == [True, False]


def test_thresholds_are_those_of_the_best_f1() -> None:
    known = as_array(*[truth((INNER, 0))] * 4)
    said = outputs(
        [(INNER, 0, 0.9)], [(INNER, 0, 0.8)], [(INNER, 0, 0.4), (OTHER, 0, 0.3)], [(OTHER, 0, 0.35)]
    )
    chosen = metrics.best_thresholds(said, known, 2)
    assert chosen[0] == pytest.approx(0.375)  # between the last right one and the first wrong one
    assert chosen[1] == 0.5  # of a class that there is none of
    half = metrics.measure(said, known, CLASSES, np.array([0.5, 0.5])).per_class[0]
    best = metrics.measure(said, known, CLASSES, chosen).per_class[0]
    assert (half.recall, best.recall, best.precision) == (0.5, 0.75, 1.0)


def test_images_are_judged_one_by_one() -> None:
    known = as_array(truth((INNER, 0)), truth((INNER, 0)), truth(), truth())
    said = outputs([(INNER, 0, 0.9)], [(OTHER, 0, 0.9)], [(OTHER, 1, 0.25)], [])
    np.testing.assert_allclose(metrics.quality(said, known), [1, 0, 0.75, 1], atol=1e-6)


def test_agreement_is_of_boxes_with_their_class() -> None:
    work = ObjectDetection()
    one = outputs([(INNER, 0, 0.9), (OTHER, 1, 0.8)], [(INNER, 0, 0.9)], [])
    other = outputs([(INNER, 0, 0.6), (OTHER, 1, 0.1)], [(INNER, 1, 0.9)], [])
    np.testing.assert_allclose(work.same(one, other), [2 / 3, 0, 1])


def test_outputs_of_two_sizes_are_told_apart() -> None:
    """Anchors follow from how many there are."""
    with pytest.raises(KeyError):
        metrics.found_in(np.zeros((1, 100, 6)))


def refused(**keys) -> list[str]:
    base = {"name": "x", "task": "object-detection", "data": {"path": "sample:scenes"}}
    return [p.text for p in check(pipeline_of({**base, **keys}))]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"distill": {"teacher": "float"}}, "distill: is not for detectors yet"),
        ({"cluster": {}}, "cluster: is not for detectors yet"),
        ({"quantize": {"keep": {"boxes": "float"}}}, "quantize.keep: is not for detectors yet"),
        ({"quantize": {"correct": True}}, "quantize.correct: is not for detectors yet"),
        ({"quantize": {"debug": "auto"}}, "quantize.debug: is not for detectors yet"),
        ({"quantize": {"recipe": "dynamic"}}, "quantize.recipe: dynamic is for text encoders"),
        ({"prune": {"teacher": 0.7}}, "prune.teacher: is not for detectors yet"),
        ({"prune": {"hints": 1.0}}, "prune.hints: is not for detectors yet"),
        ({"prune": {"allocation": "sensitivity"}}, "prune.allocation: sensitivity is not for"),
        ({"finetune": {"label_smoothing": 0.1}}, "finetune.label_smoothing: is for classes"),
        (
            {"backbone": {"name": "InceptionV3", "weights": "imagenet"}},
            "backbone.name: InceptionV3",
        ),
        (
            {"data": {"path": "sample:scenes", "image_size": 250}},
            "data.image_size: a detector takes 32k or 32k + 1 pixels a side, such as 225 or 256",
        ),
        ({"package": {}}, "package: a drop ships the score thresholds that evaluate chooses"),
        (
            {
                "data": {"path": "sample:scenes", "fit": "crop"},
                **{"package": {"targets": ["linux", "android"]}, "evaluate": {}},
            },
            "data.fit: MediaPipe stretches an image",
        ),
    ],
)
def test_what_is_not_for_detectors_is_refused_by_name(keys: dict, told: str) -> None:
    found = refused(**keys)
    assert any(text.startswith(told) for text in found), found


def test_defaults_have_no_problem() -> None:
    sections = {"prune": {}, "quantize": {}, "evaluate": {}, "package": {}}
    assert refused(**sections) == []
    pipeline = pipeline_of(
        {"name": "x", "task": "object-detection", "data": {"path": "sample:scenes"}, **sections}
    )
    assert (pipeline.prune.teacher, pipeline.quantize.correct) == (0.0, False)  # type: ignore[union-attr]


def test_the_front_door_is_one_of_all_that_is_needed() -> None:
    pipeline = load(PIPELINES / "detect.yaml").pipeline
    assert pipeline.data.path == "sample:scenes"
    assert pipeline.evaluate.gates.max_map_drop is not None  # type: ignore[union-attr]


GATES = {"min_map50": 0.9, "min_map": 0.6, "max_map_drop": 0.03}


@pytest.mark.parametrize(
    ("figures", "failed"),
    [
        ({}, ""),
        ({"map50": 0.89}, "min_map50"),
        ({"map": 0.59}, "min_map"),
        ({"plain": 0.7}, "max_map_drop"),
    ],
)
def test_gates_hold_the_shipped_file(figures: dict[str, float], failed: str) -> None:
    given = {"map50": 0.95, "map": 0.65, "plain": 0.66, **figures}
    base = {"name": "x", "task": "object-detection", "data": {"path": "sample:scenes"}}
    sections = {"quantize": {}, "evaluate": {"gates": GATES}}
    pipeline = pipeline_of({**base, **sections})
    known = as_array(truth((INNER, 0)))
    one = metrics.measure(outputs([(INNER, 0, 0.9)]), known, CLASSES, np.array([0.5, 0.5]))
    models = {
        "plain": one.model_copy(update={"map50": 0.96, "map": given["plain"]}),
        "int8": one.model_copy(update={"map50": given["map50"], "map": given["map"]}),
    }
    more = {"phases": [], "worst": [], "warnings": [], "proposals": []}
    found = Evaluation(split="test", n=1, chose_weights=False, shipped="int8", **models, **more)
    made = SimpleNamespace(metrics=found, model=None)
    if not failed:
        gates.check(pipeline, "evaluate", lambda: made)
        return
    with pytest.raises(GateFailed) as caught:
        gates.check(pipeline, "evaluate", lambda: made)
    assert failed in str(caught.value)


def test_a_gate_on_a_loss_asks_for_an_int8_model() -> None:
    found = refused(evaluate={"gates": {"max_map_drop": 0.02}})
    assert any(text.startswith("evaluate.gates.max_map_drop: there is no int8") for text in found)


def test_no_detector_is_told_to_fit_its_head() -> None:
    assert head_kinds("object-detection") == ("sgd",)
    assert "logistic" in head_kinds("image-classification")


def test_a_board_computes_what_pycocotools_does() -> None:
    """On images with several boxes of a kind, boxes that don't count, and images without any."""
    random = np.random.default_rng(0)
    truths, found = [], []
    for image in range(40):
        count = int(random.integers(0, 6)) if image else 0
        left = random.uniform(0, 0.7, (count, 2))
        boxes = np.concatenate([left, left + random.uniform(0.1, 0.3, (count, 2))], 1)
        labels, flags = random.integers(0, 3, count), random.random(count) < 0.2
        truths.append(Truth(boxes.astype(np.float32), labels, flags))
        shaken = np.repeat(boxes, 2, 0) + random.normal(0, 0.02, (2 * count, 4))
        wrong = random.uniform(0, 0.5, (3, 4)) + np.array([0, 0, 0.5, 0.5])
        corners = np.concatenate([shaken, wrong]).clip(0, 1)
        right = np.repeat(labels, 2)
        kinds = np.where(random.random(2 * count) < 0.8, right, random.integers(0, 3, 2 * count))
        kinds = np.append(kinds, random.integers(0, 3, 3))
        scores = random.integers(1, 20, len(corners)) / 20  # some are equal
        rows = np.concatenate([corners, scores[:, None], kinds[:, None]], 1).astype(np.float32)
        found.append(rows[np.argsort(-rows[:, 4], kind="stable")])
    ap50, ap = metrics.Averages(found, as_array(*truths), 4).of()
    mine = precision.average_precisions(found, truths, 4)
    np.testing.assert_allclose(mine[:3, 0], ap50[:3], atol=1e-9)  # sums in another order
    np.testing.assert_allclose(mine[:3].mean(1), ap[:3], atol=1e-9)
    assert np.isnan(mine[3]).all() and np.isnan(ap50[3])  # there is none of it
    assert precision.mean_average(mine) == pytest.approx((metrics.mean(ap50), metrics.mean(ap)))
    assert 0.1 < metrics.mean(ap) < metrics.mean(ap50) < 0.9  # neither trivial
    assert precision.mean_average(mine[3:]) == (0.0, 0.0)
