"""Image classification: its row and its keys. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.recipes import DYNAMIC
from tfedge.inputs.images.schema import ImageData
from tfedge.pipeline import distillation, nets, pruning_rules
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.recipes import quantized_by
from tfedge.pipeline.schema import Backbone, Pipeline, TeacherNet
from tfedge.tasks.classification.schema import LEAST, TOP1, ClassifierEvaluate
from tfedge.tasks.task import Task

_SIZE, _TEACHER_SIZE = "data.image_size", f"{distillation.NET}.image_size"


def image_size(pipeline: Pipeline) -> int:
    """Pixels a side."""
    return cast(ImageData, pipeline.data).image_size


def _rules(pipeline: Pipeline) -> Iterator[Problem]:
    size, levels = image_size(pipeline), cast(ImageData, pipeline.data).range
    if levels is not None and levels[0] >= levels[1]:
        yield Problem("data.range", f"black must be below white, got {list(levels)}")
    chosen = cast(Backbone, pipeline.backbone)
    yield from nets.problems(chosen, "backbone", size, _SIZE)
    if (teacher := _teacher(pipeline)) is not None:
        size_there = teacher.size if teacher.name in BACKBONES else 0
        yield from nets.problems(teacher, distillation.NET, size_there, _TEACHER_SIZE)
    yield from pruning_rules.xnnpack_size(pipeline, size, _SIZE)
    if quantized_by(pipeline).float_activations:
        what = "is for text encoders: ptq calibrates ranges and ships int8 weights and activations"
        yield Problem("quantize.recipe", f"{DYNAMIC.name} {what}")


def _notes(pipeline: Pipeline) -> list[str]:
    chosen, teacher = cast(Backbone, pipeline.backbone), _teacher(pipeline)
    found = nets.notes(chosen, "backbone", image_size(pipeline), _SIZE)
    if teacher is not None:
        found += nets.notes(teacher, distillation.NET, teacher.size, _TEACHER_SIZE)
    return found


def _teacher(pipeline: Pipeline) -> TeacherNet | None:
    return cast("TeacherNet | None", distillation.teacher_of(pipeline))


TASK = Task(
    name="image-classification",
    data=ImageData,
    evaluate=ClassifierEvaluate,
    primary=TOP1,
    beside=(LEAST["min_macro_recall"],),
    least=LEAST,
    draft="tfedge.tasks.image_classification.draft:draft",
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
