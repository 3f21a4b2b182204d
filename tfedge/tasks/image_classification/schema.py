"""Image classification: its row and its keys. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

from pydantic import Field

from tfedge.config.section import Count, key
from tfedge.inputs.images.schema import ImageData
from tfedge.pipeline import nets, pruning_rules
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import GATES, Backbone, Evaluate, Pipeline
from tfedge.pipeline.schema import Gates as CommonGates
from tfedge.tasks.task import Metric, Task

_SIZE = "data.image_size"


class Gates(CommonGates):
    min_recall: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None,
        "Least recall of any class, the worst one of the shipped file: a model that never answers "
        "one of them has 0.",
    )
    min_macro_recall: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None, "Least mean of all classes' recall: each counts the same, however few images it has."
    )


class ClassifierEvaluate(Evaluate):
    first = ("top_k",)

    gates: Gates = key(Gates(), GATES)
    top_k: Count = key(3, "How many of the best scores may hold the truth in the top-k accuracy.")


def image_size(pipeline: Pipeline) -> int:
    """Pixels a side."""
    return cast(ImageData, pipeline.data).image_size


def _rules(pipeline: Pipeline) -> Iterator[Problem]:
    size, levels = image_size(pipeline), cast(ImageData, pipeline.data).range
    if levels is not None and levels[0] >= levels[1]:
        yield Problem("data.range", f"black must be below white, got {list(levels)}")
    chosen = cast(Backbone, pipeline.backbone)
    yield from nets.problems(chosen, "backbone", size, _SIZE)
    yield from pruning_rules.xnnpack_size(pipeline, size, _SIZE)


def _notes(pipeline: Pipeline) -> list[str]:
    chosen = cast(Backbone, pipeline.backbone)
    return nets.notes(chosen, "backbone", image_size(pipeline), _SIZE)


_MACRO_RECALL = Metric("recall_macro", "macro recall")

TASK = Task(
    name="image-classification",
    data=ImageData,
    evaluate=ClassifierEvaluate,
    primary=Metric("top1", "top-1"),
    beside=(_MACRO_RECALL,),
    least={"min_recall": Metric("recall_min", "lowest recall"), "min_macro_recall": _MACRO_RECALL},
    work="tfedge.tasks.image_classification.work:Classification",
    texts="tfedge.tasks.image_classification.copied:texts",
    head="tfedge.tasks.image_classification.head:ClassifierHead",
    rules=_rules,
    notes=_notes,
    inputs=(_SIZE, "data.fit", "data.range"),
    shape=(_SIZE,),
    views=("data.augment",),
    judged_by=("evaluate.top_k",),
    sample="sample:digits",
    libs=("pillow",),
    harder="severity 1 of ImageNet-C; Hendrycks and Dietterich 2019",
    detail=("per_class", "confusion", "reliability"),
    drops=("linux", "android", "coral"),
)
