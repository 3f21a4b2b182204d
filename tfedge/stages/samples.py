"""What the stages that train open alike: the images of the run, and what the teacher said."""

from __future__ import annotations

from tfedge.core.context import Context
from tfedge.data.index import Index
from tfedge.modeling.nets.network import load_weights
from tfedge.modeling.training.features import Source
from tfedge.modeling.training.part import Samples, Teacher
from tfedge.stages.images import images_of


def samples_of(ctx: Context, size: int | None = None, *, views: bool = True) -> Samples:
    """The images at the pipeline's own size, or another (pixels a side); without ``views`` as they
    are, for who trains nothing."""
    images = images_of(ctx, Index.load(ctx.inputs["data/index.json"]), size)
    augment = ctx.pipeline.data.augment if views else None
    return Samples(Source(images, augment, ctx.pipeline.seed, ctx.cache, ctx.progress))


def teacher_of(ctx: Context, samples: Samples) -> Teacher:
    """What the float model says of every item, and ``distill``'s teacher where there is one."""
    said = load_weights(ctx.inputs["finetune/teacher.npz"])
    distill = ctx.pipeline.distill
    if distill is None:
        return Teacher(samples, said)
    return Teacher(
        samples, said, distill, load_weights(ctx.inputs["distill/teacher.npz"])["logits"]
    )
