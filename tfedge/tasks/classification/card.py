"""What the model card of a classifier says of how good it is."""

from __future__ import annotations

from tfedge.core.outputs import Evaluation
from tfedge.data.kind import Kind
from tfedge.tasks.blocks import Block, Bullets, Text, percent
from tfedge.tasks.classification.metrics import models_of
from tfedge.tasks.classification.report import class_table


def metrics(evaluation: Evaluation, kind: Kind) -> list[Block]:
    """Its figures, on examples of a kind."""
    shipped = models_of(evaluation)[evaluation.shipped]
    low, high = shipped.top1_ci95
    items = [
        f"top-1: {percent(shipped.top1)} (95 % interval {percent(low)} to {percent(high)})",
        f"macro recall: {percent(shipped.recall_macro)}; macro F1: {percent(shipped.f1_macro)}",
        f"expected calibration error: {shipped.ece:.3f}",
    ]
    if evaluation.agreement is not None:
        items.append(f"agrees with the float model on {percent(evaluation.agreement)} of them")
    where = f"{evaluation.n} {kind.many} ({evaluation.split})"
    return [
        Text(f"Measured on this very file, through LiteRT, on {where}."),
        Bullets(items),
        class_table(shipped, "class", kind),
    ]
