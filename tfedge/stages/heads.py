"""The TensorFlow half of a run's task, and what the teacher said, as the stages open them."""

from __future__ import annotations

from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.files import mapped
from tfedge.files.imports import imported
from tfedge.modeling.head import NetworkHead as Head
from tfedge.modeling.nets.network import load_weights
from tfedge.modeling.training.part import Samples, Teacher
from tfedge.stages.examples import examples_of, task_work
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Material


def head_class(ctx: Context) -> type[Head]:
    """What the run's task trains and converts with."""
    found: type[Head] = imported(task_of(ctx.pipeline.task).head)
    return found


def head_of(ctx: Context, *, views: bool = True) -> Head:
    """The network of the run and what it learns from; without ``views`` examples as they are, for
    who trains nothing."""
    base = outputs.read(ctx.inputs["backbone/base.json"], outputs.Base)
    return head_class(ctx)(material_of(ctx, views=views), base)


def material_of(ctx: Context, *, views: bool = True) -> Material:
    """What a head is made of in this run."""
    return Material(
        task_of(ctx.pipeline.task),
        task_work(ctx),
        examples_of(ctx),
        ctx.pipeline.data,
        ctx.pipeline.seed,
        ctx.cache,
        ctx.progress,
        views,
    )


def teacher_of(ctx: Context, samples: Samples) -> Teacher:
    """What the float model says of every item, and ``distill``'s teacher where there is one."""
    said = load_weights(ctx.inputs["finetune/teacher.npz"])
    stored = "finetune/features.npy"
    features = mapped.load(ctx.inputs[stored]) if ctx.has(stored) else None
    distill = ctx.pipeline.distill
    if distill is None:
        return Teacher(samples, said, features)
    logits = load_weights(ctx.inputs["distill/teacher.npz"])["logits"]
    return Teacher(samples, said, features, logits, distill.temperature)
