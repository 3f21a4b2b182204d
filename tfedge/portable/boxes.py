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
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared + 1e-9)


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
    return kept[:MOST]


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


def boxes_difference(expected: Any, got: Any) -> str:
    """How outputs [A, 4 + classes] differ from the expected ones by more than machines may; "" if
    they do not.

    Each score is at most ``TOLERANCE`` off. Of an anchor whose best score is above twice that,
    the box is the same: an IoU of at least ``SAME_BOX``, which does not depend on the anchor.
    """
    expected = np.asarray(expected, np.float64)
    got = np.asarray(got, np.float64)
    if expected.shape != got.shape or expected.ndim != 2 or expected.shape[1] < 5:
        return f"outputs {list(expected.shape)} to compare {list(got.shape)} with"
    if not np.isfinite(got).all():
        return "outputs are no numbers"
    off = float(np.abs(got[:, 4:] - expected[:, 4:]).max())
    if off > TOLERANCE:
        return f"scores differ by {off:.3f}"
    sure = np.flatnonzero(expected[:, 4:].max(1) > 2 * TOLERANCE)
    unit = np.tile(np.array([0.5, 0.5, 1e-3, 1e-3]), (len(sure), 1))  # nothing is cut off
    boxes = [decoded(values[sure, :4], unit) for values in (expected, got)]
    for one, other in zip(*boxes):
        same = float(iou(one[None], other[None])[0, 0])
        if same < SAME_BOX:
            return f"a box of a sure score differs: IoU {same:.2f}"
    return ""
