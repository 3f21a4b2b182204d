"""Detection: from what a model gives for each anchor to boxes, and the golden rule for them.

A *box* is x1 y1 x2 y2, 0 to 1 from the left and the top of the model's input. An *anchor* is cx
cy w h, likewise. A model gives for each anchor ty tx th tw, how its box differs from it (by the
coder of SSD, Liu et al. 2016, with the factors 10 10 5 5), and a score for each class.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from tfedge.portable.golden import TOLERANCE

CODER = (10.0, 10.0, 5.0, 5.0)  # of ty tx th tw
OVERLAP = 0.5  # IoU above which the lower of two boxes of one class goes
MOST = 100  # boxes of an image
CANDIDATES = 400  # boxes of a class that are compared
SAME_BOX = 0.9  # IoU of a box on two machines, at least
_MOVES = 1 - SAME_BOX  # so much the IoU of two boxes differs between machines
SURE = 2 * TOLERANCE  # score of a box that two machines place alike
ANCHORS = "anchors.bin"  # float32, little-endian: cx cy w h of each
THRESHOLDS = "thresholds.txt"  # of each class, a line: the score from which boxes count, its name
_WIDE = 20.0  # of th and tw, before exp: a factor of 55


def decoded(deltas: Any, anchors: Any) -> Any:
    """Boxes [n, 4] of deltas [n, 4] and anchors [n, 4], inside of the image."""
    deltas = np.asarray(deltas, np.float32)
    cy = deltas[:, 0] / CODER[0] * anchors[:, 3] + anchors[:, 1]
    cx = deltas[:, 1] / CODER[1] * anchors[:, 2] + anchors[:, 0]
    h = np.exp(np.clip(deltas[:, 2], -_WIDE, _WIDE) / CODER[2]) * anchors[:, 3]
    w = np.exp(np.clip(deltas[:, 3], -_WIDE, _WIDE) / CODER[3]) * anchors[:, 2]
    found = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)
    return np.clip(found, 0, 1)


def iou(first: Any, second: Any) -> Any:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4]."""
    # a side at a time: sides as the last of three axes take numpy six times as long
    left, top, right, bottom = first.T[:, :, None]
    others_left, others_top, others_right, others_bottom = second.T[:, None]
    wide = _length(np.maximum(left, others_left), np.minimum(right, others_right))
    high = _length(np.maximum(top, others_top), np.minimum(bottom, others_bottom))
    shared = wide * high
    area = _length(left, right) * _length(top, bottom)
    others_area = _length(others_left, others_right) * _length(others_top, others_bottom)
    return shared / (area + others_area - shared + 1e-9)


def _length(low: Any, high: Any) -> Any:
    return np.clip(high - low, 0, None)


def suppressed(boxes: Any, scores: Any) -> list:
    """Positions of the boxes of one class that stay, the best first: none overlaps a better one."""
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    overlaps = iou(boxes[order], boxes[order]) > OVERLAP
    gone = np.zeros(len(order), bool)
    kept = []
    for place in range(len(order)):
        if not gone[place]:
            kept.append(int(order[place]))
            gone |= overlaps[place]
        if len(kept) == MOST:
            break
    return kept


def as_given(stored: Any) -> Any:
    """Values that are real already."""
    return stored


def detections(
    deltas: Any,
    scores: Any,
    anchors: Any,
    least: Any,
    real_deltas: Callable[[Any], Any] = as_given,
    real_scores: Callable[[Any], Any] = as_given,
) -> Any:
    """What a model has found in an image: float32 [n, 6] of x1 y1 x2 y2, score and the number of
    the class, the best first, ``MOST`` at most.

    ``deltas`` [A, 4] and ``scores`` [A, classes] may be as the model stores them: ``real_deltas``
    and ``real_scores`` say what they mean. ``least`` [classes] are the lowest scores that count,
    stored likewise. Few anchors pass, and only these are decoded.
    """
    at, numbers = np.nonzero(scores >= least)
    found = np.zeros((0, 6), np.float32)
    if not len(at):
        return found
    boxes = decoded(real_deltas(deltas[at]), anchors[at])
    values = real_scores(scores[at, numbers])
    parts = []
    for number in np.unique(numbers):
        mine = np.flatnonzero(numbers == number)
        parts.append(mine[suppressed(boxes[mine], values[mine])])
    kept = np.concatenate(parts)
    kept = kept[np.argsort(-values[kept], kind="stable")][:MOST]
    rows = [boxes[kept], values[kept, None], numbers[kept, None]]
    return np.concatenate(rows, 1).astype(np.float32)


def thresholds_of(text: str) -> Any:
    """float32 [classes], of what THRESHOLDS holds. ValueError."""
    return np.array([float(line.split("\t")[0]) for line in text.splitlines()], np.float32)


def boxes_file(output: str) -> str:
    """The file of a golden pair's boxes, by that of its output: 000.output.bin, 000.boxes.bin."""
    return output.replace(".output.bin", ".boxes.bin")


def boxes_of(content: bytes) -> Any:
    """float32 [n, 6] of the bytes of such a file, as ``detections`` gives them. ValueError."""
    return np.frombuffer(content, "<f4").reshape(-1, 6)


def scores_difference(expected: Any, got: Any) -> str:
    """How outputs [A, 4 + classes] are none, or have a score that is more than ``TOLERANCE`` off
    the expected one; "" if neither."""
    expected = np.asarray(expected, np.float64)
    got = np.asarray(got, np.float64)
    if expected.shape != got.shape or expected.ndim != 2 or expected.shape[1] < 5:
        return f"outputs {list(expected.shape)} to compare {list(got.shape)} with"
    if not np.isfinite(got).all():
        return "outputs are no numbers"
    off = float(np.abs(got[:, 4:] - expected[:, 4:]).max())
    return f"scores differ by {off:.3f}" if off > TOLERANCE else ""


class GoldenBoxes:
    """The golden rule of a drop: of what its model gives, and of the boxes that are made of it.

    ``anchors`` [A, 4]; ``least`` [classes] are the scores from which boxes count.
    """

    def __init__(self, anchors: Any, least: Any) -> None:
        self.anchors = anchors
        self.least = least

    def found(self, outputs: Any) -> Any:
        """The boxes of real outputs [A, 4 + classes]."""
        return detections(outputs[:, :4], outputs[:, 4:], self.anchors, self.least)

    def difference(self, expected: Any, got: Any, boxes: Any) -> str:
        """How outputs [A, 4 + classes] or their boxes differ from the expected ones by more than
        machines may; "" if they do not. ``boxes`` [n, 6] are those of the expected outputs, as the
        drop has them.

        From the expected outputs the same boxes are made here. Each score that was got is at most
        ``TOLERANCE`` off. A box whose score is above ``SURE``, and by more than ``TOLERANCE`` above
        the one from which boxes of its class count, is found again: of the same class, with an IoU
        of at least ``SAME_BOX`` and a score at most ``TOLERANCE`` off; and no other such box is
        found. But where two boxes of the expected outputs are so near that one may suppress the
        other, scores that are closer than that decide which stays, and an IoU around ``OVERLAP``
        whether both do.
        """
        told = scores_difference(expected, got)
        if told:
            return told
        if not same_boxes(boxes, self.found(expected)):
            return "the expected outputs have other boxes here"
        found = self.found(got)
        lost, new = unmatched(boxes, found), unmatched(found, boxes)
        again, given = unmatched(boxes, lost), [box for box in new if self._given(box, expected)]
        for box in lost:
            places = [one for one in given if box[4] - one[4] <= TOLERANCE]
            if self._counts(box) and not _near(box, places) and not _halfway(box, again):
                return _lost(box, new)
        for box in new:
            known = any(box is one for one in given)
            if self._counts(box) and not (known and (_near(box, lost) or _halfway(box, again))):
                return f"a new box: {_told(box)}"
        return ""

    def _counts(self, box: Any) -> bool:
        """Whether a box is there on every machine."""
        return bool(box[4] > max(SURE, self.least[int(box[5])] + TOLERANCE))

    def _given(self, box: Any, outputs: Any) -> bool:
        """Whether a box is one of those that outputs have before suppression."""
        off = np.abs(outputs[:, 4 + int(box[5])] - box[4])
        near = np.flatnonzero(off <= TOLERANCE)
        there = decoded(outputs[near, :4], self.anchors[near])
        return bool((iou(box[None, :4], there) >= SAME_BOX).any())


def same_boxes(expected: Any, got: Any) -> bool:
    """Whether boxes [n, 6] are equal, but for the last bits of ``exp``, in which processors
    differ."""
    return expected.shape == got.shape and bool(np.allclose(expected, got, rtol=0, atol=1e-4))


def unmatched(boxes: Any, others: Any) -> list:
    """Those boxes, rows of 6, that are not among others by more than machines may differ."""
    return [box for box in boxes if not any(_same(box, one) for one in others)]


def _overlap(one: Any, other: Any) -> float:
    return float(iou(one[None, :4], other[None, :4])[0, 0])


def _same(one: Any, other: Any) -> bool:
    return bool(
        one[5] == other[5]
        and abs(one[4] - other[4]) <= TOLERANCE
        and _overlap(one, other) >= SAME_BOX
    )


def _overlaps_with(box: Any, others: Any) -> Any:
    """IoU [n] of a box with others, 0 for those of other classes."""
    others = np.asarray(others).reshape(-1, 6)
    return iou(box[None, :4], others[:, :4])[0] * (others[:, 5] == box[5])


def _near(box: Any, others: Any) -> bool:
    """Whether it and one of the others may suppress each other."""
    return bool((_overlaps_with(box, others) > OVERLAP - _MOVES).any())


def _halfway(box: Any, others: Any) -> bool:
    """Whether it and one of the others suppress each other on some machines alone."""
    return bool((np.abs(_overlaps_with(box, others) - OVERLAP) <= _MOVES).any())


def _told(box: Any) -> str:
    return f"class {int(box[5])}, score {box[4]:.2f}"


def _lost(box: Any, new: Any) -> str:
    """What became of an expected box."""
    near = max(new, key=lambda one: _overlap(one, box), default=None)
    if near is None or _overlap(near, box) <= OVERLAP:
        return f"a box is lost: {_told(box)}"
    if near[5] != box[5]:
        return f"a box has another class: {_told(near)}, not {_told(box)}"
    if _overlap(near, box) < SAME_BOX:
        return f"a box is elsewhere: {_told(box)}, IoU {_overlap(near, box):.2f}"
    return f"a box has another score: {_told(near)}, not {_told(box)}"
