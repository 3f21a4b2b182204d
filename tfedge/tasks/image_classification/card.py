"""What the model card of an image classifier says beside what every card says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.data.kind import IMAGES
from tfedge.tasks.audited import count_table
from tfedge.tasks.blocks import cell
from tfedge.tasks.classification.card import metrics
from tfedge.tasks.drop import Card, Content


def card(content: Content) -> Card:
    given, taken, classes = content.given, content.taken, content.facts["classes"]
    size, names = given["shape"][1], ", ".join(map(cell, classes))
    scale = f", times {taken['scale']:g}" if taken["scale"] else ""
    return Card(
        use=f"Names which of {len(classes)} classes a photo shows: {names}.",
        given=f"RGB pixels, `{given['dtype']}` 0–255, {given['shape']}; no normalisation, it is "
        f"part of the model. A photo becomes {size}×{size} by `{given['fit']}`."
        + levels_text(given),
        taken=f"a score for each class, `{taken['dtype']}` {taken['shape']}{scale}.",
        data=[count_table(classes, content.data["counts"])],
        metrics=metrics(content.metrics, IMAGES) if content.metrics is not None else [],
        limits=[
            "It answers with one of its classes whatever the photo shows.",
            "Measured on images from the same source as its training; others may be harder.",
        ],
    )


def levels_text(given: Mapping[str, Any]) -> str:
    """What becomes of images of 16 bits before the model gets them; empty where nothing is said."""
    levels = given.get("levels")
    if levels is None:
        return ""
    return (
        f" Of images of 16 bits the levels {levels[0]} to {levels[1]} become 0 to 255 first, as "
        "`classify.py` and the Kotlin do with a file's bytes; other decoders have to."
    )
