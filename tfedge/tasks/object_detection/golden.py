"""Which images become golden pairs: made ones, public ones, or held-out ones of the owner's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfedge.inputs.images.synthetic import Sketch, Sketches
from tfedge.portable.boxes import SAME_BOX, SURE, decoded, iou, scores_difference
from tfedge.tasks import photos
from tfedge.tasks.classification.golden import Steady
from tfedge.tasks.drop import Asked, Chosen
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.metrics import found_in

_SKETCHES = 192  # that every model is asked about


def held_out(examples: BoxedImages, rows: Sequence[int], count: int) -> Chosen:
    """Images evenly over all of them, each with what is on it."""
    picked = [rows[at] for at in np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    facts = []
    for row in picked:
        labels = examples.truth(row).counted().labels
        facts.append({"boxes": [examples.classes[label] for label in labels]})
    return Chosen(examples.inputs(picked), facts, f"{len(picked)} held-out images of the owner")


def synthetic(size: int, classes: Sequence[str], asked: Asked, count: int) -> Chosen:
    """Images that nobody took: those of ``tfedge.inputs.images.synthetic`` of which the model is
    surest that something is there, as far as possible something else on each."""
    sketches = [Sketch(number) for number in range(_SKETCHES)]
    outputs = asked.outputs(Sketches(sketches, size))
    steady = Steady(asked, lambda at: sketches[at].image(size))
    return _chosen(steady, outputs, classes, count, "synthetic images, made for this model")


def public(
    files: Sequence[Path], size: int, fit: str, classes: Sequence[str], asked: Asked, count: int
) -> Chosen:
    """Of image files those of which the model is surest that something is there. DataError for
    files that are no images, or without any."""
    images = photos.public(files, size, fit)
    outputs = asked.outputs(np.stack(images))
    steady = Steady(asked, images.__getitem__)
    return _chosen(steady, outputs, classes, count, "images that the owner calls public")


def difference(expected: np.ndarray, got: np.ndarray) -> str:
    """How outputs [A, 4 + classes] differ from the expected ones by more than machines may, anchor
    by anchor; "" if they do not: by which golden inputs are chosen, before thresholds are known.

    Each score is at most ``TOLERANCE`` off. Of an anchor whose best score is above ``SURE``, the
    box is the same: an IoU of at least ``SAME_BOX``, which does not depend on the anchor.
    """
    if told := scores_difference(expected, got):
        return told
    sure = np.flatnonzero(expected[:, 4:].max(1) > SURE)
    unit = np.tile(np.array([0.5, 0.5, 1e-3, 1e-3]), (len(sure), 1))  # nothing is cut off
    boxes = [decoded(values[sure, :4], unit) for values in (expected, got)]
    for one, other in zip(*boxes, strict=True):
        same = float(iou(one[None], other[None])[0, 0])
        if same < SAME_BOX:
            return f"a box of a sure score differs: IoU {same:.2f}"
    return ""


def _chosen(
    steady: Steady, outputs: np.ndarray, classes: Sequence[str], count: int, what: str
) -> Chosen:
    """Those first whose best score is highest, one of each class first; the ones whose answer hangs
    on the kernels that compute it are left out."""
    best = outputs[..., 4:].max(1)  # [N, classes]
    answer = best.argmax(1)
    seen: dict[int, int] = {}
    turns = []
    for at in np.argsort(-best.max(1), kind="stable").tolist():
        number = int(answer[at])
        turns.append((seen.get(number, 0), -float(best[at].max()), at))
        seen[number] = seen.get(number, 0) + 1
    kept = steady.first([at for _, _, at in sorted(turns)], count)
    facts = []
    for at in kept:
        (boxes,) = found_in(outputs[at : at + 1], 0.3)
        names = [classes[int(label)] for label in boxes[:, 5]]
        facts.append({"found": names, "best": round(float(best[at].max()), 4)})
    tried = steady.tried
    told = f"{len(kept)} {what}; on {sum(bool(f['found']) for f in facts)} of them it finds boxes"
    if left := tried.inputs - tried.steady:
        told += f"; of {tried.inputs} tried ones {left} are left out, since other kernels of the "
        told += "runtime answer otherwise"
    examples = [steady.example(at) for at in kept]
    return Chosen(np.stack(examples) if examples else np.empty(0), facts, told, tried)
