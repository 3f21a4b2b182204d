"""What the stages that train open alike: the images of the run, and what the teacher said."""

from __future__ import annotations

import numpy as np

from tfedge.core.context import Context
from tfedge.data.index import Index
from tfedge.inputs.images.pictures import Pictures
from tfedge.modeling.training.features import Source
from tfedge.modeling.training.part import Samples, Teacher


def samples_of(ctx: Context, size: int | None = None, *, views: bool = True) -> Samples:
    """The images at the pipeline's own size, or another (pixels a side); without ``views`` as they
    are, for who trains nothing."""
    data, index = ctx.pipeline.data, Index.load(ctx.inputs["data/index.json"])
    side = size or data.image_size
    pictures = Pictures(index, ctx.data_root, ctx.cache, side, data.fit)
    augment = data.augment if views else None
    return Samples(Source(pictures, augment, ctx.pipeline.seed, ctx.cache, ctx.progress))


def teacher_of(ctx: Context, samples: Samples) -> Teacher:
    """What the float model says of every item, and ``distill``'s teacher where there is one."""
    with np.load(ctx.inputs["finetune/teacher.npz"], allow_pickle=False) as archive:
        said = {key: archive[key] for key in archive.files}
    distill = ctx.pipeline.distill
    if distill is None:
        return Teacher(samples, said)
    with np.load(ctx.inputs["distill/teacher.npz"], allow_pickle=False) as archive:
        return Teacher(samples, said, distill, archive["logits"])
