"""The anchors of a detector: one square box for each cell of its three feature maps."""

from __future__ import annotations

from functools import cache

import numpy as np

from tfedge.catalog.strides import STRIDES

SCALE = 4.0  # sides of an anchor, in strides


def sides(size: int) -> tuple[int, ...]:
    """Cells along a side of each feature map, for an input of so many pixels a side."""
    return tuple(-(-size // stride) for stride in STRIDES)


def cells(size: int) -> tuple[int, ...]:
    """Cells of each feature map."""
    return tuple(side * side for side in sides(size))


@cache
def anchors(size: int) -> np.ndarray:
    """float32 [A, 4], cx cy w h from 0 to 1, of an input of 32k or 32k + 1 pixels a side.

    At 32k + 1 a cell sits on the pixel stride·i: padding is the same on both sides there. At 32k it
    hangs on the net on which side of its stride² pixels a cell looks, and the middle is taken: what
    is left of the difference a detector learns. (A grid for the other kind of size, when boxes are
    decoded, makes mAP@.5 fall from 89 to 65.)
    """
    odd = size % 32 == 1
    found = []
    for stride, side in zip(STRIDES, sides(size), strict=True):
        centre = (np.arange(side) * stride + (0.5 if odd else stride / 2)) / size
        y, x = np.meshgrid(centre, centre, indexing="ij")
        wide = np.full(side * side, SCALE * stride / size)
        found.append(np.stack([x.ravel(), y.ravel(), wide, wide], 1))
    made = np.concatenate(found).astype(np.float32)
    made.setflags(write=False)
    return made


def fits(size: int) -> bool:
    """Whether a detector can have that many pixels a side."""
    return size % 32 in (0, 1)


@cache
def anchors_of(count: int) -> np.ndarray:
    """The anchors of which there are so many: 21k² at 32k pixels a side, 21k² + 14k + 3 at 32k + 1,
    which are never the same. KeyError when no size has them."""
    return anchors(_SIZES[count])


_SIZES = {sum(cells(size)): size for size in range(32, 1025) if fits(size)}
