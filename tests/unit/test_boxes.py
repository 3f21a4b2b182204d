"""Anchors, assignment, views, decoding, suppression, the golden rule: what detection rests on."""

from __future__ import annotations

import numpy as np
import pytest

from tfedge.inputs.images.anchors import anchors, anchors_of, cells, fits
from tfedge.inputs.images.annotations.index import fitted
from tfedge.inputs.images.assign import assigned
from tfedge.inputs.images.changes import Change
from tfedge.inputs.images.schema import BoxAugment
from tfedge.portable import boxes as portable
from tfedge.portable.boxes import (
    CANDIDATES,
    CODER,
    MOST,
    OVERLAP,
    SAME_BOX,
    GoldenBoxes,
    decoded,
    detections,
    iou,
    suppressed,
)
from tfedge.tasks.object_detection.golden import difference

SIZES = [size for size in range(32, 1025) if fits(size)]


def encoded(boxes: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The inverse of ``decoded``."""
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    moved = (centre - grid[:, :2]) / grid[:, 2:] * CODER[0]
    grown = np.log(sides / grid[:, 2:]) * CODER[2]
    return np.stack([moved[:, 1], moved[:, 0], grown[:, 1], grown[:, 0]], 1)


def test_a_count_of_anchors_has_one_size() -> None:
    """Decoding goes by how many anchors a model has."""
    counts = [sum(cells(size)) for size in SIZES]
    assert len(set(counts)) == len(SIZES)
    for size, count in zip(SIZES, counts, strict=True):
        assert anchors_of(count) is anchors(size) and len(anchors(size)) == count


def test_cells_sit_where_the_convolutions_see() -> None:
    """At 32k + 1 the first cell sits on the first pixel, at 32k in the middle of its stride."""
    np.testing.assert_allclose(anchors(257)[:2, 0] * 257, [0.5, 8.5], rtol=1e-6)
    np.testing.assert_allclose(anchors(256)[:2, 0] * 256, [4, 12], rtol=1e-6)
    last = anchors(257)[cells(257)[0] - 1, :2] * 257
    np.testing.assert_allclose(last, [256.5, 256.5], rtol=1e-6)


def test_sides_are_four_strides() -> None:
    found = anchors(256)[:, 2] * 256
    assert sorted(set(found.round(3).tolist())) == [32, 64, 128]


def test_what_is_encoded_is_decoded() -> None:
    random = np.random.default_rng(0)
    low = random.uniform(0, 0.6, (50, 2))
    boxes = np.concatenate([low, low + random.uniform(0.05, 0.4, (50, 2))], 1)
    grid = anchors(96)[random.integers(0, sum(cells(96)), 50)]
    np.testing.assert_allclose(decoded(encoded(boxes, grid), grid), boxes, atol=1e-6)


def test_a_wild_size_overflows_nothing() -> None:
    wild = np.array([[0, 0, 1e6, 1e6], [0, 0, -1e6, -1e6]], np.float32)
    found = decoded(wild, anchors(32)[:2])
    assert np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes, by its definition."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_iou_is_what_its_name_says_of_boxes_that_are_no_squares() -> None:
    random = np.random.default_rng(2)
    low = random.uniform(0, 0.4, (40, 2))
    boxes = np.concatenate([low, low + random.uniform([0.05, 0.3], [0.3, 0.9], (40, 2))], 1)
    first, second = boxes[:15], boxes[15:]
    wanted = [[overlap(one, other) for other in second] for one in first]
    assert 100 < np.count_nonzero(wanted) < 375
    np.testing.assert_allclose(iou(first, second), wanted, atol=1e-6)  # it adds 1e-9 to the union


def test_of_one_class_no_more_boxes_stay_than_of_an_image() -> None:
    """All are apart, so that none suppresses another."""
    left = np.arange(MOST + 50) / 200
    boxes = np.stack([left, left, left + 0.004, left + 0.004], 1)
    scores = np.random.default_rng(3).permutation(len(left)) / 1000
    assert suppressed(boxes, scores) == np.argsort(-scores)[:MOST].tolist()


def test_suppression_keeps_the_better_of_two_and_another_class() -> None:
    box, near, far = [0.1, 0.1, 0.4, 0.4], [0.11, 0.1, 0.41, 0.4], [0.6, 0.6, 0.9, 0.9]
    found = suppressed(np.array([near, box, far]), np.array([0.6, 0.9, 0.5]))
    assert found == [1, 2]
    grid = np.tile(np.array([0.25, 0.25, 0.3, 0.3], np.float32), (2, 1))
    scores = np.array([[0.9, 0.0], [0.0, 0.8]], np.float32)
    both = detections(np.zeros((2, 4)), scores, grid, np.array([0.5, 0.5]))
    assert both[:, 5].tolist() == [0, 1]


def test_thresholds_are_compared_as_stored_and_few_are_decoded() -> None:
    """A detector has thousands of anchors: decoding all of them takes longer than the net."""
    seen = []

    def real(stored: np.ndarray) -> np.ndarray:
        seen.append(len(stored))
        return stored.astype(np.float32) / 10

    grid = anchors(257)
    stored = np.zeros((len(grid), 4), np.uint8)
    scores = np.full((len(grid), 3), 5, np.uint8)
    scores[7, 1], scores[900, 2] = 200, 130
    found = detections(
        *(stored, scores, grid, np.array([128, 128, 128])),
        *(real, lambda values: values.astype(np.float32) / 256),
    )
    assert seen == [2]
    np.testing.assert_allclose(found[:, 4:], [[200 / 256, 1], [130 / 256, 2]])


def test_no_more_boxes_of_a_class_are_compared_than_can_be_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each with each: of all 1,393 boxes that would be two million overlaps a class."""
    seen = []
    monkeypatch.setattr(
        portable, "iou", lambda one, other: seen.append(len(one)) or iou(one, other)
    )
    grid = anchors(257)
    scores = np.full((len(grid), 2), 0.9)
    found = detections(np.zeros((len(grid), 4)), scores, grid, np.array([0.5, 0.5]))
    assert seen == [CANDIDATES] * 2 and len(found) == MOST


def test_nothing_above_the_threshold_is_nothing() -> None:
    found = detections(np.zeros((21, 4)), np.zeros((21, 2)), anchors(32), np.array([0.5, 0.5]))
    assert found.shape == (0, 6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v, ""),
        (lambda v: v + np.array([0, 0, 0, 0, 0.15, 0]), ""),
        (lambda v: v + np.array([0, 0, 0, 0, 0.17, 0]), "scores differ by 0.170"),
        (lambda v: v + np.array([0.2, 0, 0, 0, 0, 0]), ""),  # a fiftieth of an anchor
        (lambda v: v + np.array([4, 0, 0, 0, 0, 0]), "a box of a sure score differs: IoU"),
        (lambda v: v + np.array([0, 0, 2, 0, 0, 0]), "a box of a sure score differs: IoU"),
        (lambda v: v * np.nan, "outputs are no numbers"),
        (lambda v: v[:, :5], "outputs [3, 6] to compare [3, 5] with"),
    ],
)
def test_the_golden_rule(change, told: str) -> None:
    expected = np.array(
        [[0, 0, 0, 0, 0.8, 0.1], [1, -2, 1, 1, 0.6, 0.0], [9, 9, 9, 9, 0.01, 0.0]], float
    )
    got = difference(expected, change(expected))
    assert got.startswith(told) and bool(got) == bool(told)


def test_a_box_without_a_sure_score_may_be_anywhere() -> None:
    expected = np.array([[0, 0, 0, 0, 0.3, 0.0]])
    assert difference(expected, expected + np.array([9, 9, 0, 0, 0, 0])) == ""


def test_the_golden_rule_asks_for_the_overlap_that_it_says() -> None:
    expected = np.array([[0, 0, 0, 0, 0.8]])
    for share, fine in ((SAME_BOX + 0.01, True), (SAME_BOX - 0.01, False)):
        got = np.array([[0, 0, 0, CODER[3] * np.log(share), 0.8]])  # as wide as this share
        assert (difference(expected, got) == "") == fine


class Scene:
    """Outputs of a model whose boxes are named, each by an anchor of its own; two classes, which
    count from 0.3 on."""

    grid = anchors(64)
    rule = GoldenBoxes(grid, np.array([0.3, 0.3], np.float32))

    def __init__(self, *boxes: tuple[list[float], float, int]) -> None:
        self.outputs = np.zeros((len(self.grid), 6), np.float32)
        for at, (corners, score, label) in enumerate(boxes):
            self.outputs[at, :4] = encoded(np.array([corners]), self.grid[at : at + 1])[0]
            self.outputs[at, 4 + label] = score

    def told(self, other: Scene) -> str:
        """The rule's word on another machine's outputs."""
        return self.rule.difference(self.outputs, other.outputs, self.rule.found(self.outputs))


HERE, THERE = [0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]
TWO = Scene((HERE, 0.8, 0), (THERE, 0.7, 1))


def test_the_boxes_of_a_pair_are_found_again() -> None:
    found = TWO.rule.found(TWO.outputs)
    np.testing.assert_allclose(found[:, :4], [HERE, THERE], atol=1e-6)
    near = [0.105, 0.1, 0.405, 0.4]  # IoU 0.97
    assert TWO.told(TWO) == TWO.told(Scene((near, 0.65, 0), (THERE, 0.84, 1))) == ""


CHANGES = {  # of the outputs
    "moved": (
        Scene(([0.14, 0.1, 0.44, 0.4], 0.8, 0), (THERE, 0.7, 1)),
        "a box is elsewhere: class",
    ),
    "far away": (Scene(([0.5, 0, 0.8, 0.3], 0.8, 0), (THERE, 0.7, 1)), "a box is lost: class 0"),
    "moved halfway": (Scene(([0.2, 0.1, 0.5, 0.4], 0.8, 0), (THERE, 0.7, 1)), "a box is lost"),
    "of another class": (Scene((HERE, 0.8, 1), (THERE, 0.7, 1)), "scores differ by 0.800"),
    "lost": (Scene((HERE, 0.8, 0)), "scores differ by 0.700"),
    "one more": (Scene((HERE, 0.8, 0), (THERE, 0.7, 1), (THERE, 0.7, 0)), "scores differ by 0.700"),
    "no numbers": (Scene((HERE, np.nan, 0)), "outputs are no numbers"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_machine_that_finds_other_boxes_breaks_the_golden_rule(kind: str) -> None:
    got, told = CHANGES[kind]
    assert TWO.told(got).startswith(told)


MISTAKES = {  # in what makes boxes of them, or in the drop's boxes
    "moved": lambda b: b + np.float32([[0.001, 0, 0, 0, 0, 0], [0] * 6]),
    "of another class": lambda b: np.c_[b[:, :5], np.float32([1, 1])],
    "of another score": lambda b: b - np.float32([[0, 0, 0, 0, 0.004, 0], [0] * 6]),
    "lost": lambda b: b[:1],
    "doubled": lambda b: b[[0, 0, 1]],
    "in another order": lambda b: b[::-1],
    "no numbers": lambda b: b * np.float32("nan"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_the_same_outputs_have_the_same_boxes(kind: str) -> None:
    boxes = TWO.rule.found(TWO.outputs)
    last_bits = boxes + np.float32([1e-6, 1e-6, 1e-6, 1e-6, 0, 0])
    assert TWO.rule.difference(TWO.outputs, TWO.outputs, last_bits) == ""
    told = TWO.rule.difference(TWO.outputs, TWO.outputs, MISTAKES[kind](boxes))
    assert told == "the expected outputs have other boxes here"


def test_a_box_near_its_threshold_may_come_and_go() -> None:
    one = Scene((HERE, 0.8, 0), (THERE, 0.44, 1))
    assert one.told(Scene((HERE, 0.8, 0), (THERE, 0.29, 1))) == ""
    assert Scene((HERE, 0.8, 0), (THERE, 0.29, 1)).told(one) == ""


BESIDE = [0.16, 0.1, 0.46, 0.4]  # IoU 2/3 with HERE


def test_of_two_boxes_with_close_scores_either_may_stay() -> None:
    one, other = Scene((HERE, 0.8, 0), (BESIDE, 0.75, 0)), Scene((HERE, 0.75, 0), (BESIDE, 0.8, 0))
    stays = [scene.rule.found(scene.outputs)[:, 0] for scene in (one, other)]
    np.testing.assert_allclose(stays, [[0.1], [0.16]], atol=1e-6)
    assert one.told(other) == other.told(one) == ""


def test_a_box_that_only_a_suppressed_one_held_down_may_come() -> None:
    """Of three in a row the middle one, or both others."""
    third = [0.22, 0.1, 0.52, 0.4]
    middle = Scene((HERE, 0.7, 0), (BESIDE, 0.8, 0), (third, 0.7, 0))
    others = Scene((HERE, 0.8, 0), (BESIDE, 0.75, 0), (third, 0.7, 0))
    assert [len(one.rule.found(one.outputs)) for one in (middle, others)] == [1, 2]
    assert middle.told(others) == others.told(middle) == ""


def test_boxes_that_overlap_by_about_the_limit_may_stay_both() -> None:
    wide, scenes = HERE[2] - HERE[0], []
    for share in (OVERLAP - 0.02, OVERLAP + 0.02):
        by = wide * (1 - share) / (1 + share)
        scenes.append(Scene((HERE, 0.8, 0), ([HERE[0] + by, 0.1, HERE[2] + by, 0.4], 0.6, 0)))
    assert [len(one.rule.found(one.outputs)) for one in scenes] == [2, 1]
    assert scenes[0].told(scenes[1]) == scenes[1].told(scenes[0]) == ""


def test_a_second_box_on_a_thing_breaks_the_golden_rule() -> None:
    """Where a worse one was suppressed by the one that is still there."""
    expected = Scene((HERE, 0.8, 0), (BESIDE, 0.7, 0))
    off = [0.25, 0.1, 0.55, 0.4]  # IoU 1/3 with HERE, 0.54 with BESIDE
    assert expected.told(Scene((HERE, 0.8, 0), (off, 0.7, 0))) == "a new box: class 0, score 0.70"


def test_each_box_is_learnt_by_anchors_inside_of_it() -> None:
    boxes = np.array([[0.1, 0.1, 0.35, 0.4], [0.5, 0.2, 0.9, 0.9]], np.float32)
    found = assigned(boxes, 257)
    assert found.dtype == np.int16 and set(found.tolist()) == {-1, 0, 1}
    for number, box in enumerate(boxes):
        middle = anchors(257)[found == number, :2]
        assert ((middle > box[:2]) & (middle < box[2:])).all()
        assert 1 <= len(middle) <= 27


def test_a_tiny_box_gets_its_best_anchor() -> None:
    found = assigned(np.array([[0.401, 0.401, 0.404, 0.404]], np.float32), 257)
    assert (found == 0).sum() == 1


def test_an_anchor_that_two_want_learns_the_one_it_overlaps_most() -> None:
    boxes = np.array([[0.2, 0.2, 0.5, 0.5], [0.2, 0.2, 0.52, 0.5]], np.float32)
    found = assigned(boxes, 257)
    grid = anchors(257)
    corners = np.concatenate([grid[:, :2] - grid[:, 2:] / 2, grid[:, :2] + grid[:, 2:] / 2], 1)
    overlaps = iou(boxes, corners)
    taken = np.flatnonzero(found >= 0)
    both = [at for at in taken if found[at] == overlaps[:, at].argmax()]
    assert len(both) == len(taken)


def test_no_box_is_learnt_by_nothing() -> None:
    assert (assigned(np.zeros((0, 4), np.float32), 64) == -1).all()


def marked(size: int, box: np.ndarray) -> np.ndarray:
    """A black image with a white box."""
    image = np.zeros((size, size, 3), np.uint8)
    left, top, right, bottom = (box * size).round().astype(int)
    image[top:bottom, left:right] = 255
    return image


@pytest.mark.parametrize("number", range(12))
def test_boxes_move_with_their_pixels(number: int) -> None:
    """What is white in a view is where its box says, to a pixel and a half of resampling."""
    settings = BoxAugment(flip_vertical=True, contrast=0.0, brightness=0.0)
    box, size = np.array([0.3, 0.4, 0.55, 0.6]), 128
    change = Change.drawn(settings, [number])
    boxes, kept = change.boxes(box[None], size)
    assert kept.tolist() == [0]
    down, right = np.nonzero(change.pixels(marked(size, box))[..., 0] > 127)
    seen = np.array([right.min(), down.min(), right.max() + 1, down.max() + 1])
    np.testing.assert_allclose(boxes[0] * size, seen, atol=1.5)


def test_a_view_is_the_same_every_time_and_others_differ() -> None:
    settings = BoxAugment()
    assert Change.drawn(settings, [1, 2]) == Change.drawn(settings, [1, 2])
    assert Change.drawn(settings, [1, 2]) != Change.drawn(settings, [1, 3])


def test_a_box_out_of_the_window_is_gone() -> None:
    near = Change(False, False, 0.0, 0.0, 0.5, 0.5, 1.0, 0.0)
    boxes, kept = near.boxes(np.array([[0.1, 0.1, 0.3, 0.3], [0.7, 0.7, 0.9, 0.9]]), 100)
    assert kept.tolist() == [0]
    np.testing.assert_allclose(boxes, [[0.2, 0.2, 0.6, 0.6]])


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        ("stretch", [0.25, 0.25, 0.5, 0.75]),
        ("crop", [(160 - 80) / 480, 0.25, (320 - 80) / 480, 0.75]),
        ("pad", [0.25, (80 + 120) / 640, 0.5, (80 + 360) / 640]),
    ],
)
def test_boxes_follow_how_an_image_becomes_square(fit: str, wanted: list[float]) -> None:
    found, kept = fitted(np.array([[160.0, 120, 320, 360]]), 640, 480, fit)
    np.testing.assert_allclose(found, [wanted], atol=1e-6)
    assert kept.tolist() == [0]


def test_a_box_that_is_cropped_away_is_gone() -> None:
    found, kept = fitted(np.array([[0.0, 0, 40, 40], [300.0, 0, 340, 40]]), 640, 480, "crop")
    assert kept.tolist() == [1] and len(found) == 1
