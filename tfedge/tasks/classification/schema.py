"""Keys and figures that classifiers have in common. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from tfedge.config.section import Count, key
from tfedge.pipeline.schema import GATES, Evaluate
from tfedge.pipeline.schema import Gates as CommonGates
from tfedge.tasks.task import Metric

TOP1 = Metric("top1", "top-1")
_MACRO_RECALL = Metric("recall_macro", "macro recall")

# What gates of classifiers hold, by their key.
LEAST: Mapping[str, Metric] = {
    "min_recall": Metric("recall_min", "lowest recall"),
    "min_macro_recall": _MACRO_RECALL,
}


class Gates(CommonGates):
    min_recall: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None,
        "Least recall of any class, the worst one of the shipped file: a model that never answers "
        "one of them has 0.",
    )
    min_macro_recall: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None,
        "Least mean of all classes' recall: each counts the same, however few examples it has.",
    )


class ClassifierEvaluate(Evaluate):
    first = ("top_k",)

    gates: Gates = key(Gates(), GATES)
    top_k: Count = key(3, "How many of the best scores may hold the truth in the top-k accuracy.")
