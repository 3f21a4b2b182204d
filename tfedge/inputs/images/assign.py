"""Which anchor learns which box: adaptive training sample selection.

Zhang et al. 2020, "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive
Training Sample Selection": of each feature map the nine anchors nearest to a box are candidates;
those whose IoU with it is at least the candidates' mean plus their standard deviation, and whose
centre is inside of it, learn it. An anchor that several boxes want learns the one it overlaps most;
a box that no anchor is left for gets its best candidate.
"""

from __future__ import annotations

import numpy as np

from tfedge.inputs.images.anchors import anchors, cells
from tfedge.portable.boxes import iou

NEAREST = 9  # candidates of a feature map
VERSION = 1


def assigned(boxes: np.ndarray, size: int) -> np.ndarray:
    """int16 [A], the number of the box that each anchor learns; −1: none.

    ``boxes`` [n, 4] are x1 y1 x2 y2 from 0 to 1, ``size`` the input's pixels a side.
    """
    grid = anchors(size)
    found = np.full(len(grid), -1, np.int16)
    if not len(boxes):
        return found
    middle, half = grid[:, :2], grid[:, 2:] / 2
    overlaps = iou(boxes, np.concatenate([middle - half, middle + half], 1))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.linalg.norm(centre[:, None] - middle[None], axis=2)
    candidates = _nearest(distance, cells(size))
    each = np.arange(len(boxes))[:, None]
    values = overlaps[each, candidates]
    enough = values >= values.mean(1, keepdims=True) + values.std(1, keepdims=True)
    at = middle[candidates]
    inside = ((at > boxes[:, None, :2]) & (at < boxes[:, None, 2:])).all(2)
    chosen = enough & inside
    alone = ~chosen.any(1)
    chosen[alone, values[alone].argmax(1)] = True
    wanted = np.full_like(overlaps, -1.0)
    rows, columns = np.nonzero(chosen)
    anchor = candidates[rows, columns]
    wanted[rows, anchor] = overlaps[rows, anchor]
    best = wanted.argmax(0)
    taken = wanted[best, np.arange(len(grid))] >= 0
    found[taken] = best[taken]
    return found


def _nearest(distance: np.ndarray, counts: tuple[int, ...]) -> np.ndarray:
    """int [n, …], of each feature map the nearest anchors of each box."""
    found, first = [], 0
    for count in counts:
        part = distance[:, first : first + count]
        found.append(first + np.argsort(part, axis=1, kind="stable")[:, :NEAREST])
        first += count
    return np.concatenate(found, 1)
