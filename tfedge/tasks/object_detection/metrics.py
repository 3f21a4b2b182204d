"""What a detector's boxes are worth: mean average precision as COCO has it, precision and recall
at the thresholds that ship.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; computed by pycocotools.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tfedge.core.outputs import Evaluation, ModelMetrics, Output, narrow
from tfedge.inputs.images.anchors import anchors_of
from tfedge.inputs.images.annotations.index import Truth
from tfedge.inputs.images.annotations.installed import missing
from tfedge.portable.boxes import MOST, detections, iou

LEAST = 0.02  # score of a box that is looked at for average precision
UNSURE = 0.05  # the lowest threshold that is chosen
SIDE = 1000.0  # of an image, in the units that pycocotools gets: average precision has none
SAME = 0.5  # IoU of boxes that are taken for one
RESAMPLED = 200  # of the images, for the spread of a figure

Found = list[np.ndarray]  # of each image float32 [n, 6], as ``portable.boxes.detections`` gives it
# ``truth`` is everywhere [N] of ``Truth``.


class ClassDetection(Output):
    """One class. None: there is none of it, or none was found."""

    name: str
    ap50: float | None
    ap: float | None
    ap50_ci95: tuple[float, float] | None = None  # by resampling images
    threshold: float | None  # the score from which the drop's script counts a box
    precision: float | None  # at the threshold, as are recall and F1
    recall: float | None
    f1: float | None
    support: int  # boxes
    found: int | None = None  # boxes at the threshold that count; what precision is a share of


class DetectorMetrics(ModelMetrics):
    """What a detector is worth, as shares of 1."""

    n: int  # images
    boxes: int
    map50: float  # mean average precision at an IoU of 0.5
    map50_ci95: tuple[float, float]  # by resampling images
    map: float  # mean over IoU 0.5 to 0.95
    map_ci95: tuple[float, float]
    per_class: list[ClassDetection]


def models_of(evaluation: Evaluation) -> dict[str, DetectorMetrics]:
    """The metrics of ``float`` and, where it was made, ``int8``."""
    return {
        name: narrow(found, DetectorMetrics, f"metrics.json: {name}")
        for name, found in evaluation.models.items()
    }


def problem_of(outputs: np.ndarray, anchors: int, classes: int) -> tuple[str, str] | None:
    """What outputs [N, …] must be and what these are, when they are none of a detector's."""
    finite = bool(np.isfinite(outputs).all())
    if outputs.shape[1:] == (anchors, 4 + classes) and finite:
        return None
    told = f"{anchors} anchors with a box and {classes} scores, all finite"
    return told, f"{list(outputs.shape[1:])}{'' if finite else ', not all finite'}"


def found_in(outputs: np.ndarray, least: float | np.ndarray = LEAST) -> Found:
    """The boxes in each of a model's outputs, float [N, A, 4 + classes]."""
    anchors = anchors_of(outputs.shape[1])
    return [detections(one[:, :4], one[:, 4:], anchors, least) for one in outputs]


class Averages:
    """Average precision of boxes that were found, over all images or a sample of them."""

    def __init__(self, found: Found, truth: np.ndarray, classes: int) -> None:
        coco, evaluation = _pycocotools()
        with contextlib.redirect_stdout(io.StringIO()):
            known = coco()
            known.dataset = _dataset(truth, classes)
            known.createIndex()
            rows = _rows(found)
            self._run: Any = None
            if len(rows) and known.anns:
                self._run = evaluation(known, known.loadRes(rows), "bbox")
                self._run.params.areaRng, self._run.params.areaRngLbl = [[0, 1e10]], ["all"]
                self._run.params.maxDets = [MOST]
                self._run.evaluate()
        self._classes, self._n = classes, len(truth)

    def of(self, images: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """AP at an IoU of 0.5, and the mean from 0.5 to 0.95, of each class, float [classes]; NaN
        where there is none of it. ``images``: numbers of those that are looked at, one perhaps more
        than once."""
        if self._run is None:
            nothing = np.zeros(self._classes)
            return nothing, nothing.copy()
        run = self._run
        with contextlib.redirect_stdout(io.StringIO()):
            whole = run.evalImgs, run._paramsEval.imgIds, run.params.imgIds
            if images is not None:
                table = np.array(whole[0], object).reshape(self._classes, self._n)
                run.evalImgs = table[:, images].ravel().tolist()
                # pycocotools looks images up by their place, which must be all different
                run.params.imgIds = run._paramsEval.imgIds = list(range(len(images)))
            try:
                run.accumulate()
            finally:
                run.evalImgs, run._paramsEval.imgIds, run.params.imgIds = whole
        precision = run.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class]
        precision = np.where(precision < 0, np.nan, precision)
        return precision[0].mean(0), precision.mean((0, 1))


def mean(values: np.ndarray) -> float:
    """Over the classes that there are any of; 0 without one."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else 0.0


@cache
def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise missing("pycocotools", "it computes average precision") from error
    return COCO, COCOeval


def _dataset(truth: np.ndarray, classes: int) -> dict[str, Any]:
    boxes: list[dict[str, Any]] = []
    for image, one in enumerate(truth):
        for corners, label, ignored in zip(*one, strict=True):
            left, top, right, bottom = (SIDE * corners.astype(np.float64)).tolist()
            wide, high = right - left, bottom - top
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": image,
                    "category_id": int(label),
                    "bbox": [left, top, wide, high],
                    "area": wide * high,
                    "iscrowd": int(ignored),
                }
            )
    return {
        "info": {},
        "images": [{"id": image} for image in range(len(truth))],
        "annotations": boxes,
        "categories": [{"id": label} for label in range(classes)],
    }


def _rows(found: Found) -> np.ndarray:
    """[n, 7] of image, left, top, width, height, score, class."""
    rows = []
    for image, boxes in enumerate(found):
        corners = SIDE * boxes[:, :4].astype(np.float64)
        sides = corners[:, 2:] - corners[:, :2]
        number = np.full((len(boxes), 1), image)
        rows.append(np.concatenate([number, corners[:, :2], sides, boxes[:, 4:]], 1))
    return np.concatenate(rows) if rows else np.zeros((0, 7))


def average(outputs: np.ndarray, truth: np.ndarray) -> float:
    """mAP at an IoU of 0.5."""
    return mean(Averages(found_in(outputs), truth, outputs.shape[2] - 4).of()[0])


def measure(
    outputs: np.ndarray,
    truth: np.ndarray,
    classes: Sequence[str],
    thresholds: np.ndarray | None,
    seed: int = 0,
) -> DetectorMetrics:
    """The metrics of one model; ``thresholds`` [classes] are the scores from which boxes count;
    None: there are none, and so neither precision nor recall."""
    found = found_in(outputs)
    averages = Averages(found, truth, len(classes))
    ap50, ap = averages.of()
    spread = _spread(averages, len(truth), seed)
    counted = [one.counted().labels for one in truth]
    supports = [sum(int((labels == n).sum()) for labels in counted) for n in range(len(classes))]
    at = _at_thresholds(found, truth, thresholds, supports)
    rows = [
        ClassDetection(
            name=name,
            ap50=_known(ap50[number]),
            ap50_ci95=spread.ap50[number],
            ap=_known(ap[number]),
            support=supports[number],
            **at[number],
        )
        for number, name in enumerate(classes)
    ]
    return DetectorMetrics(
        n=len(truth),
        boxes=sum(row.support for row in rows),
        map50=mean(ap50),
        map50_ci95=spread.map50,
        map=mean(ap),
        map_ci95=spread.map,
        per_class=rows,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _at_thresholds(
    found: Found, truth: np.ndarray, thresholds: np.ndarray | None, supports: Sequence[int]
) -> list[dict[str, Any]]:
    """Threshold, precision, recall and F1 of each class."""
    if thresholds is None:
        return [
            dict.fromkeys(("threshold", "precision", "recall", "f1", "found")) for _ in supports
        ]
    hits = [
        matched(boxes[boxes[:, 4] >= thresholds[boxes[:, 5].astype(int)]], one)
        for boxes, one in zip(found, truth, strict=True)
    ]
    rows: list[dict[str, Any]] = []
    for number, support in enumerate(supports):
        right = sum(int(((h.labels == number) & h.right).sum()) for h in hits)
        wrong = sum(int(((h.labels == number) & ~h.right & ~h.ignored).sum()) for h in hits)
        rows.append(
            {
                "threshold": float(thresholds[number]),
                "found": right + wrong,
                "precision": right / (right + wrong) if right + wrong else None,
                "recall": right / support if support else None,
                "f1": 2 * right / (right + wrong + support) if support else None,
            }
        )
    return rows


class Spread(NamedTuple):
    """95 % intervals; of a class None where there is none of it."""

    map50: tuple[float, float]
    map: tuple[float, float]
    ap50: list[tuple[float, float] | None]


def _spread(averages: Averages, n: int, seed: int) -> Spread:
    """By bootstrap over the images (Efron 1979)."""
    random = np.random.default_rng(seed)
    drawn = [averages.of(random.integers(0, n, n)) for _ in range(RESAMPLED)]
    map50, map_ = (_between(np.array([mean(both[part]) for both in drawn])) for part in (0, 1))
    classes = np.array([ap50 for ap50, _ in drawn]).T  # NaN where no image with it was drawn
    known = [values[~np.isnan(values)] for values in classes]
    return Spread(map50, map_, [_between(values) if len(values) else None for values in known])


def _between(figures: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)


class Hits:
    """Which boxes of one image are ``right``: of a class and place that is there, and not taken by
    a better one. ``ignored``: those of something that does not count."""

    def __init__(self, labels: np.ndarray, right: np.ndarray, ignored: np.ndarray) -> None:
        self.labels, self.right, self.ignored = labels, right, ignored


def matched(boxes: np.ndarray, truth: Truth) -> Hits:
    """Of boxes [n, 6], the best first."""
    labels = boxes[:, 5].astype(int)
    right, ignored = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    if not len(boxes) or not len(truth.boxes):
        return Hits(labels, right, ignored)
    overlaps = iou(boxes[:, :4], truth.boxes)
    overlaps[labels[:, None] != truth.labels[None]] = 0
    left = ~truth.ignored
    for place in range(len(boxes)):
        open_ones = np.where(left, overlaps[place], 0)
        best = int(open_ones.argmax())
        if open_ones[best] >= SAME:
            right[place], left[best] = True, False
        else:
            ignored[place] = bool((overlaps[place][truth.ignored] >= SAME).any())
    return Hits(labels, right, ignored)


def best_thresholds(outputs: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """For each class the score with the best F1 on these images, float32 [classes]: halfway to the
    next score below. The middle of all where there is none of a class."""
    found = found_in(outputs)
    every = [matched(boxes, one) for boxes, one in zip(found, truth, strict=True)]
    chosen = np.full(classes, 0.5, np.float32)
    for number in range(classes):
        support = sum(int((one.counted().labels == number).sum()) for one in truth)
        scores, right = [], []
        for boxes, hits in zip(found, every, strict=True):
            mine = (hits.labels == number) & ~hits.ignored
            scores.append(boxes[mine, 4])
            right.append(hits.right[mine])
        score, hit = np.concatenate(scores), np.concatenate(right)
        if not support or not hit.any():
            continue
        order = np.argsort(-score, kind="stable")
        score, hit = score[order], hit[order]
        f1 = 2 * np.cumsum(hit) / (np.arange(1, len(hit) + 1) + support)
        last = np.append(score[1:] < score[:-1], True)  # of equal scores
        best = int(np.where(last, f1, -1).argmax())
        below = score[best + 1] if best + 1 < len(score) else 0.0
        chosen[number] = max(UNSURE, (score[best] + below) / 2)
    return chosen


def quality(outputs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[N], the best F1 of each image over all thresholds; where nothing is to be seen, how far the
    best score is from 1."""
    return np.array([_image_quality(*pair) for pair in zip(found_in(outputs), truth, strict=True)])


def _image_quality(boxes: np.ndarray, truth: Truth) -> float:
    hits, support = matched(boxes, truth), int((~truth.ignored).sum())
    kept = ~hits.ignored
    if not support:
        return 1.0 - float(boxes[kept, 4].max(initial=0.0))
    right = np.cumsum(hits.right[kept])
    if not len(right):
        return 0.0
    return float((2 * right / (np.arange(1, len(right) + 1) + support)).max())


def alike(outputs: np.ndarray, others: np.ndarray, least: float) -> np.ndarray:
    """[N], how far two models find the same boxes of such scores in each image: twice those that
    both have over all of both; 1 where neither has any."""
    pairs = zip(found_in(outputs, least), found_in(others, least), strict=True)
    return np.array([_image_alike(*pair) for pair in pairs])


def _image_alike(one: np.ndarray, other: np.ndarray) -> float:
    if not len(one) and not len(other):
        return 1.0
    as_truth = Truth(one[:, :4], one[:, 5].astype(int), np.zeros(len(one), bool))
    return float(2 * matched(other, as_truth).right.sum() / (len(one) + len(other)))
