"""Mean average precision of boxes, as COCO has it: what a board can compute without pycocotools.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context": all areas, 101 recalls, IoU 0.5 to
0.95. A *truth* of an image is boxes [n, 4], numbers of their classes int [n], and bool [n] which
of them don't count: neither to be found nor wrong where something is found there.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

# As numpy's linspace has them, without numpy: a board is looked at before it is there.
OVERLAPS = [*(0.5 + n * ((0.95 - 0.5) / 9) for n in range(9)), 0.95]
_RECALLS = [*(n * (1.0 / 100) for n in range(100)), 1.0]


def average_precisions(found: Sequence[Any], truth: Sequence[Any], classes: int) -> Any:
    """float [classes, 10], of each class at each of ``OVERLAPS``; NaN where there is none of it.

    ``found`` has for each image float [n, 6], as ``portable.boxes.detections`` gives it."""
    return np.array([_of_class(found, truth, number) for number in range(classes)])


def mean_average(precisions: Any) -> tuple:
    """At an IoU of 0.5, and the mean over all, of the classes that there are; 0 without one."""
    there = precisions[~np.isnan(precisions[:, 0])]
    return (float(there[:, 0].mean()), float(there.mean())) if len(there) else (0.0, 0.0)


def _of_class(found: Sequence[Any], truth: Sequence[Any], number: int) -> Any:
    scores, right, ignored, support = [], [], [], 0
    for boxes, (places, labels, flags) in zip(found, truth):
        mine = boxes[boxes[:, 5] == number]
        mine = mine[np.argsort(-mine[:, 4], kind="stable")]
        own = labels == number
        order = np.argsort(flags[own], kind="stable")  # those that count come first
        hits = _matched(mine[:, :4], places[own][order], flags[own][order])
        scores.append(mine[:, 4])
        right.append(hits[0])
        ignored.append(hits[1])
        support += int((own & ~flags).sum())
    if not support:
        return np.full(len(OVERLAPS), np.nan)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit, ignore = (np.concatenate(parts, 1)[:, order] for parts in (right, ignored))
    return np.array([_area(*pair, support) for pair in zip(hit & ~ignore, ~hit & ~ignore)])


def _matched(boxes: Any, places: Any, flags: Any) -> tuple:
    """bool [10, n] which boxes, the best first, are of a place of their own, and bool [10, n] which
    of them don't count since the place doesn't."""
    overlaps = _overlaps(boxes, places, flags)
    hit, ignored = (np.zeros((len(OVERLAPS), len(boxes)), bool) for _ in range(2))
    for at, least in enumerate(OVERLAPS):
        taken = np.zeros(len(places), bool)
        for box in range(len(boxes)):
            best, of = min(least, 1 - 1e-10), -1
            for place in range(len(places)):
                if taken[place] and not flags[place]:
                    continue
                if of > -1 and not flags[of] and flags[place]:
                    break  # it is of one that counts
                if overlaps[box, place] >= best:
                    best, of = overlaps[box, place], place
            if of > -1:
                hit[at, box], ignored[at, box], taken[of] = True, flags[of], True
    return hit, ignored


def _overlaps(boxes: Any, places: Any, flags: Any) -> Any:
    """IoU [n, m]; with a place that doesn't count the share of the box that lies there."""
    boxes, places = boxes.astype(np.float64), places.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], places[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], places[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    own, other = ((one[:, 2:] - one[:, :2]).prod(1) for one in (boxes, places))
    whole = np.where(flags[None], own[:, None], own[:, None] + other[None] - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _area(right: Any, wrong: Any, support: int) -> float:
    """Mean precision at 101 recalls, each the best at that recall or more."""
    hits, misses = np.cumsum(right), np.cumsum(wrong)
    recall = hits / support
    precision = hits / (hits + misses + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, "left")
    return float(np.append(best, 0.0)[at].mean())
