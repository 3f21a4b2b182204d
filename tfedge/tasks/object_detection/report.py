"""What a report and a drop's card say of a detector: how good it is, and on which images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfedge.catalog.strides import STRIDES
from tfedge.core.outputs import Evaluation
from tfedge.data.audit import Findings
from tfedge.files.files import few
from tfedge.inputs.images.annotations.index import BoxIndex
from tfedge.inputs.images.schema import BOXED
from tfedge.portable.boxes import iou
from tfedge.tasks.audited import audit_blocks, count_table
from tfedge.tasks.blocks import Block, Part, Table, Text, bold, percent
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.metrics import (
    DetectorMetrics,
    found_in,
    matched,
    models_of,
    quality,
)

DOUBLED = 0.8  # IoU of two boxes of one class that are probably one
THIN = 8.0  # pixels of a box's shorter side, in its image
_SCORE = 0.3  # of the boxes that are counted in the worst images


def answers(evaluation: Evaluation) -> list[Part]:
    """The sections on how good the model is."""
    models = models_of(evaluation)
    tables = [class_table(found, f"{name}: class") for name, found in models.items()]
    return [
        Part("Average precision", [_figures(models, evaluation), *tables]),
        Part("Worst images", _worst(evaluation.worst)),
    ]


def _figures(models: Mapping[str, DetectorMetrics], evaluation: Evaluation) -> Block:
    rows = [
        [name, _with_spread(m.map50, m.map50_ci95), _with_spread(m.map, m.map_ci95), m.n, m.boxes]
        for name, m in models.items()
    ]
    return Table(["model", "mAP@.5", "mAP@.5:.95", "images", "boxes"], rows)


def _with_spread(value: float, interval: tuple[float, float]) -> str:
    return f"{percent(value)} ({100 * interval[0]:.1f} – {100 * interval[1]:.1f})"


def class_table(found: DetectorMetrics, title: str) -> Table:
    """AP of each class, and precision and recall at its threshold."""
    rows: list[list[object]] = [
        [
            *(row.name, percent(row.ap50), percent(row.ap), f"{row.threshold:.2f}"),
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
            }
        )
    return found


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


def remarks(index: BoxIndex, size: int, fit: str) -> list[str]:
    """What is odd about the boxes: doubled, thin, too small for the model, images without any."""
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
    found = []
    for places, what in (
        (doubled, f"boxes of one class that overlap by more than {DOUBLED:g}, probably one"),
        (thin, f"boxes thinner than {THIN:g} pixels of their image"),
        (
            small,
            f"boxes below {STRIDES[0]} pixels at data.image_size {size}, the finest stride: "
            "hardly to be found; a larger size helps",
        ),
        (none, "images without any box, which teach what is nothing"),
    ):
        if places:
            found.append(f"{what}: {len(places)} ({few(list(dict.fromkeys(places)))})")
    return found


def data(index: BoxIndex, audit: Findings | None) -> list[Block]:
    """The section on the examples: how many boxes, of what, and what the audit found."""
    images = [[split, sum(row.split == split for row in index.rows)] for split in index.counts]
    return [
        Text(f"Splits from {index.split_from}. Digest `{index.digest}`."),
        Table(["split", "images"], images),
        count_table(index.classes, index.counts, "boxes of"),
        *(audit_blocks(audit, BOXED) if audit else [Text("No audit.")]),
    ]
