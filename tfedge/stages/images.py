"""The images of a run, as its stages look at them."""

from __future__ import annotations

from tfedge.core.context import Context
from tfedge.data.index import Index
from tfedge.inputs.images.pictures import Pictures


def images_of(ctx: Context, index: Index, size: int | None = None) -> Pictures:
    """Those of the index, at the pipeline's own size or another (pixels a side)."""
    data = ctx.pipeline.data
    return Pictures(index, ctx.data_root, ctx.cache, size or data.image_size, data.fit)
