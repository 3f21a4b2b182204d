"""At which stride each block of a net works, and where a net can be tapped for features.

A *stride* is how many pixels lie between two neighbouring places of a feature map. The catalogue
has the shape of what each block gives at the net's native size; the stride follows from it.
"""

from __future__ import annotations

from functools import cache

from tfedge.catalog.backbones import BACKBONES, Block, layers

STRIDES = (8, 16, 32)  # of the feature maps that detection reads
_EXPANDED = "top"  # the block of a last, wide 1×1 convolution, for classifiers


def stride(name: str, block: Block) -> int | None:
    """Of a block's result; None where its places are not evenly spaced over the image (nets that
    don't pad)."""
    native, (height, _, _) = BACKBONES[name].native_size, block.shape
    found = next((s for s in (1, 2, 4, *STRIDES, 64) if -(-native // s) == height), None)
    return found


@cache
def taps(name: str, alpha: float = 1.0) -> tuple[Block, ...]:
    """The last block of each of ``STRIDES``, from the finest; empty for a net that lacks one.

    In nets of inverted residuals that is the last linear layer of the stride, which is several
    times narrower than what follows: the wide 1×1 convolution before a classifier is left out.
    """
    blocks = [block for block in layers(name, alpha) if block.name != _EXPANDED]
    last = {stride(name, block): block for block in blocks}
    found = tuple(last[s] for s in STRIDES if s in last)
    return found if len(found) == len(STRIDES) else ()


def tapped(name: str, alpha: float = 1.0) -> tuple[Block, ...]:
    """The blocks up to the last tap, from the pixels up; empty for a net that can't be tapped."""
    found = taps(name, alpha)
    blocks = layers(name, alpha)
    return blocks[: blocks.index(found[-1]) + 1] if found else ()
