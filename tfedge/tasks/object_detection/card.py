"""What the model card of a detector says beside what every card says."""

from __future__ import annotations

from tfedge.core.outputs import Evaluation
from tfedge.portable.boxes import OVERLAP
from tfedge.tasks.audited import count_table
from tfedge.tasks.blocks import Block, Bullets, Text, cell, percent
from tfedge.tasks.drop import Card, Content
from tfedge.tasks.object_detection.android import told_of_mediapipe
from tfedge.tasks.object_detection.metrics import models_of
from tfedge.tasks.object_detection.report import class_table


def card(content: Content) -> Card:
    given, taken, classes = content.given, content.taken, content.facts["classes"]
    size, names = given["shape"][1], ", ".join(map(cell, classes))
    count = taken["shape"][1]
    return Card(
        use=f"Finds where on a photo things of {len(classes)} classes are: {names}.",
        given=f"RGB pixels, `{given['dtype']}` 0–255, {given['shape']}; no normalisation, it is "
        f"part of the model. A photo becomes {size}×{size} by `{given['fit']}`.",
        taken=f"`boxes` and `scores`, `{taken['dtype']}`, for each of {count:,} anchors how a box "
        f"differs from it (ty tx th tw, divided by 10 10 5 5) and a score for each class. "
        f"`{taken['anchors']}` has the anchors. Of two boxes of one class whose IoU is above "
        f"{OVERLAP:g} the better one stays.",
        data=[count_table(classes, content.data["counts"], "boxes of")],
        metrics=_metrics(content.metrics) if content.metrics is not None else [],
        limits=[
            "It finds what its training images had boxes of, at sizes and from sides as there.",
            "Measured on images from the same source as its training; others may be harder.",
            *([told_of_mediapipe(content)] if "mediapipe" in content.facts else []),
        ],
    )


def _metrics(evaluation: Evaluation) -> list[Block]:
    shipped = models_of(evaluation)[evaluation.shipped]
    (low, high), (least, most) = shipped.map50_ci95, shipped.map_ci95
    items = [
        f"mAP@.5: {percent(shipped.map50)} (95 % interval {percent(low)} to {percent(high)})",
        f"mAP@.5:.95: {percent(shipped.map)} ({percent(least)} to {percent(most)})",
    ]
    where = f"{evaluation.n} images with {shipped.boxes:,} boxes ({evaluation.split})"
    return [
        Text(f"Measured on this very file, through LiteRT, on {where}; intervals by bootstrap."),
        Bullets(items),
        class_table(shipped, "class"),
    ]
