"""What a report and a drop's card say of a detector: how good it is, and on which images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfedge.catalog.strides import STRIDES
from tfedge.core.outputs import Evaluation
from tfedge.data.audit import Findings
from tfedge.inputs.images.annotations.index import BoxIndex
from tfedge.inputs.images.schema import BOXED
from tfedge.portable.boxes import iou
from tfedge.tasks import pictures
from tfedge.tasks.audited import audit_blocks, count_table
from tfedge.tasks.blocks import Block, Box, Part, Pictures, Table, Text, bold, percent
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.metrics import (
    DetectorMetrics,
    Hits,
    found_in,
    matched,
    models_of,
    quality,
)
from tfedge.tasks.shares import share_bars, with_interval

DOUBLED = 0.8  # IoU of two boxes of one class that are probably one
THIN = 8.0  # pixels of a box's shorter side, in its image
_SCORE = 0.3  # of the boxes that are counted in the worst images
_BARS = 30  # classes of a picture
_DRAWN = 30  # boxes of one image that are kept for a picture, the best first
_SAMPLES = 12  # training images
_JOINED = "\N{NO-BREAK SPACE}"
_NAMED = 8  # answers of one image that its caption names


def answers(evaluation: Evaluation, images: BoxedImages | None) -> list[Part]:
    """The sections on how good the model is. ``images`` are those of the run, to show the worst."""
    models = models_of(evaluation)
    tables = [class_table(found, f"{name}: class") for name, found in models.items()]
    return [
        Part(
            "Average precision",
            [
                _figures(models, evaluation),
                *_class_bars(models[evaluation.shipped], evaluation.shipped),
                *tables,
            ],
        ),
        Part("Worst images", [*_shown(evaluation.worst, images), *_worst(evaluation.worst)]),
    ]


def _figures(models: Mapping[str, DetectorMetrics], evaluation: Evaluation) -> Block:
    rows = [
        [
            *(name, with_interval(m.map50, m.map50_ci95), with_interval(m.map, m.map_ci95)),
            *(m.n, m.boxes),
        ]
        for name, m in models.items()
    ]
    return Table(["model", "mAP@.5", "mAP@.5:.95", "images", "boxes"], rows)


def _class_bars(found: DetectorMetrics, shipped: str) -> list[Block]:
    """Recall and precision of each class at its threshold; of many, those with the lowest AP."""
    rows = [row for row in found.per_class if row.support]
    few, which = rows, ""
    if len(rows) > _BARS:
        few = sorted(rows, key=lambda row: row.ap50 or 0.0)[:_BARS]
        which = f", the {_BARS} classes with the lowest AP"
    title = f"of {shipped} at each threshold{which}"
    return share_bars(
        {
            f"Recall {title}": [(row.name, row.recall, row.support) for row in few],
            f"Precision {title}": [(row.name, row.precision, row.found or 0) for row in few],
        }
    )


def class_table(found: DetectorMetrics, title: str) -> Table:
    """AP of each class, and precision and recall at its threshold."""
    rows: list[list[object]] = [
        [
            *(row.name, with_interval(row.ap50, row.ap50_ci95), percent(row.ap)),
            None if row.threshold is None else f"{row.threshold:.2f}",
            *(percent(row.precision), percent(row.recall), percent(row.f1), row.support),
        ]
        for row in found.per_class
    ]
    rows.append([bold("mean"), percent(found.map50), percent(found.map), *[""] * 4, found.boxes])
    head = ["AP@.5", "AP@.5:.95", "threshold", "precision", "recall", "F1", "boxes"]
    return Table([title, *head], rows)


def _worst(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not rows:
        return [Text("None: no mistake, or `evaluate.worst` is 0.")]
    said = Text(f"Of boxes with a score of at least {_SCORE:g}; F1 is the best of any threshold.")
    cells = [
        [row["path"], f"{row['f1']:.2f}", row["boxes"], row["found"], row["wrong"], row["missed"]]
        for row in rows
    ]
    return [said, Table(["image", "F1", "boxes", "found", "wrong", "missed"], cells)]


def _shown(rows: Sequence[Mapping[str, Any]], images: BoxedImages | None) -> list[Block]:
    """The worst images with what is there and what was found; the latter where metrics.json has it,
    which earlier versions have not written."""
    if images is None or not rows:
        return []
    boxes_of, found = _boxes_by_path(images), []
    for row in rows[: pictures.WORST]:
        there = boxes_of(row["path"])
        boxes = [
            Box(tuple(one["box"]), one["class"], "right" if one["right"] else "wrong")
            for one in row.get("answers", ())
        ]
        caption = f"F1 {row['f1']:.2f}; there: {_counted(there)}{_answered(row)}"
        found.append(
            pictures.picture(images.images, row["path"], caption, [*there, *boxes], pictures.LARGE)
        )
    title = "The worst, as the model saw them, with their boxes"
    return [Pictures(title, found, listed=True, large=True)]


def _answered(row: Mapping[str, Any]) -> str:
    answers = row.get("answers")
    if answers is None:
        return ""
    named = [
        f"{'✓' if one['right'] else '✗'}{_JOINED}{one['class']}{_JOINED}{one['score']:.2f}"
        for one in answers[:_NAMED]
    ]
    named += [f"{len(answers) - _NAMED} more"] if len(answers) > _NAMED else []
    return f"; found: {', '.join(named) or 'nothing'}"


def true_boxes(images: BoxedImages, row: int) -> list[Box]:
    """What is on an image, of what counts."""
    truth = images.truth(row).counted()
    return [
        Box(tuple(corners), images.classes[label], "there")
        for corners, label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)
    ]


def worst(
    outputs: np.ndarray, images: BoxedImages, rows: Sequence[int], count: int
) -> list[dict[str, Any]]:
    """The images with the lowest F1, those without a mistake left out."""
    truth = images.targets(rows)
    values, names = quality(outputs, truth), images.names(rows)
    order = sorted(range(len(rows)), key=lambda at: (values[at], names[at]))
    order = [at for at in order if values[at] < 1][:count]
    found = []
    for at in order:
        (boxes,) = found_in(outputs[at : at + 1], _SCORE)
        hits = matched(boxes, truth[at])
        right, support = int(hits.right.sum()), len(truth[at].counted().boxes)
        found.append(
            {
                "path": names[at],
                "f1": float(values[at]),
                "boxes": support,
                "found": right,
                "wrong": int((~hits.right & ~hits.ignored).sum()),
                "missed": support - right,
                "answers": _drawn(boxes, hits, images.classes),
            }
        )
    return found


def _drawn(boxes: np.ndarray, hits: Hits, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Boxes [n, 6] that were found, for a picture; without those of what does not count."""
    kept = np.flatnonzero(~hits.ignored)[:_DRAWN]
    return [
        {
            "box": [round(float(side), 4) for side in boxes[at, :4]],
            "class": classes[int(boxes[at, 5])],
            "score": round(float(boxes[at, 4]), 4),
            "right": bool(hits.right[at]),
        }
        for at in kept
    ]


def warnings(evaluation: Evaluation) -> list[str]:
    """Classes that no image judges, and those that are never found."""
    shipped = models_of(evaluation)[evaluation.shipped]
    none = [row.name for row in shipped.per_class if not row.support]
    blind = [row.name for row in shipped.per_class if row.support and not row.ap50]
    found = [f"no {evaluation.split} boxes of: {', '.join(none)}"] if none else []
    if blind:
        found.append(f"{evaluation.shipped} finds none of the boxes of: {', '.join(blind)}")
    if evaluation.split == "val":
        found.append(
            "the val images also chose the score thresholds: precision and recall are a little too "
            "good; keep a test split to know them"
        )
    return found


def remarks(index: BoxIndex, size: int, fit: str) -> dict[str, list[str]]:
    """What is odd about the boxes: doubled, thin, too small for the model, images without any; the
    image's path for each."""
    doubled, thin, small, none = [], [], [], []
    for number, row in enumerate(index.rows):
        label = index.labelled[number]
        if not label.boxes:
            none.append(row.path)
            continue
        corners = np.array([box[1:5] for box in label.boxes], np.float64) / 100
        sides = (corners[:, 2:] - corners[:, :2]).min(1)
        thin += [row.path] * int((sides < THIN).sum())
        names = np.array([box.label for box in label.boxes])
        same = (iou(corners, corners) > DOUBLED) & (names[:, None] == names[None])
        doubled += [row.path] * int(np.triu(same, 1).sum())
        seen = index.truth(number, fit).boxes
        small += [row.path] * int(((seen[:, 2:] - seen[:, :2]).max(1) * size < STRIDES[0]).sum())
    found = {
        f"boxes of one class that overlap by more than {DOUBLED:g}, probably one": doubled,
        f"boxes thinner than {THIN:g} pixels of their image": thin,
        f"boxes below {STRIDES[0]} pixels at data.image_size {size}, the finest stride: hardly to "
        "be found; a larger size helps": small,
        "images without any box, which teach what is nothing": none,
    }
    return {what: paths for what, paths in found.items() if paths}


def data(index: BoxIndex, audit: Findings | None, images: BoxedImages | None) -> list[Block]:
    """The section on the examples: how many boxes, of what, what the audit found, and some of them
    where ``images`` are at hand."""
    counts = [[split, sum(row.split == split for row in index.rows)] for split in index.counts]
    return [
        Text(f"Splits from {index.split_from}. Digest `{index.digest}`."),
        Table(["split", "images"], counts),
        count_table(index.classes, index.counts, "boxes of"),
        *(audit_blocks(audit, BOXED) if audit else [Text("No audit.")]),
        *(
            []
            if images is None or audit is None
            else pictures.findings(audit, images.images, BOXED, _boxes_by_path(images))
        ),
        *([] if images is None else _samples(images)),
    ]


def _samples(images: BoxedImages) -> list[Block]:
    """Some training images with their boxes."""
    rows = pictures.chosen(images.index, images.rows_of("train"), _SAMPLES)
    found = [
        pictures.picture(
            images.images, images.index.rows[row].path, _counted(there), there, pictures.LARGE
        )
        for row in rows
        for there in [true_boxes(images, row)]
    ]
    return pictures.sampled(found, images.images, BOXED, large=True)


def _boxes_by_path(images: BoxedImages) -> Callable[[str], Sequence[Box]]:
    number = {row.path: at for at, row in enumerate(images.index.rows)}
    return lambda path: true_boxes(images, number[path]) if path in number else []


def _counted(boxes: Sequence[Box]) -> str:
    counts = Counter(box.name for box in boxes)
    return ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in counts.items()) or "nothing"
