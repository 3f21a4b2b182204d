"""Structured zeros, from shapes alone: which kernels can carry them, and how many each gets.

As in TF-MOT. ``sparsity_m_by_n`` [m, n]: of each n neighbouring input channels, at every output and
place of the window, at least m weights are zero; what is left at the end counts as filled up with
zeros. ``block_size`` [h, w]: the kernel as a matrix [inputs, outputs] is cut into blocks of h × w
weights, which go together. TF-MOT has blocks for dense layers only; a 1×1 convolution is the same
matrix, and is taken here, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tfedge.catalog.backbones import Kernel
from tfedge.pipeline.schema import Prune

XNNPACK_LEAST = 0.70  # of a 1×1 kernel; XNNPACK itself asks for two thirds over all of them


def block_area(prune: Prune) -> int:
    """Weights in a block; 1: there are none."""
    return math.prod(prune.block_size)


def is_structured(prune: Prune) -> bool:
    return prune.sparsity_m_by_n is not None or block_area(prune) > 1


def structure_name(prune: Prune) -> str:
    """``2:4`` or ``blocks of 1×4``."""
    if prune.sparsity_m_by_n is not None:
        return "{}:{}".format(*prune.sparsity_m_by_n)
    return "blocks of {}×{}".format(*prune.block_size)


def zeros_m_by_n(prune: Prune, shape: tuple[int, ...]) -> int:
    """Zeros that m by n gives a kernel [..., inputs, outputs], at least."""
    assert prune.sparsity_m_by_n is not None
    m, n = prune.sparsity_m_by_n
    whole, rest = divmod(shape[-2], n)
    return math.prod(shape) // shape[-2] * (whole * m + max(0, rest - (n - m)))


def supports_structure(prune: Prune, shape: tuple[int, ...], kind: str) -> bool:
    """Whether a kernel, HWIO or [inputs, outputs], can carry the structure that is asked for."""
    if not is_structured(prune):
        return True
    if kind in ("depthwise", "scale"):
        return False
    if prune.sparsity_m_by_n is not None:
        return zeros_m_by_n(prune, shape) > 0
    height, width = prune.block_size
    matrix = all(side == 1 for side in shape[:-2])
    return matrix and shape[-2] % height == 0 and shape[-1] % width == 0


def total_zeros_m_by_n(prune: Prune, kernels: Iterable[Kernel]) -> int:
    """Zeros that m by n gives all of these kernels together, at least."""
    return sum(
        zeros_m_by_n(prune, k.shape) for k in kernels if supports_structure(prune, k.shape, k.kind)
    )
