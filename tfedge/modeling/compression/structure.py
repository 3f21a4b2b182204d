"""Structured zeros in arrays: which weights stand together, and whether they are zero.

Kernels are as Keras stores them, HWIO or [inputs, outputs]; ``of_tflite`` turns a file's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tfedge.core.outputs import Structure
from tfedge.errors import InvariantBroken
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.structure import block_area, is_structured, structure_name


def cells(kernel: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    """A kernel's blocks [rows, height, columns, width]; its sides are multiples of theirs."""
    (height, width), (inputs, outputs) = block, kernel.shape[-2:]
    return kernel.reshape(inputs // height, height, outputs // width, width)


def pooled(kernel: np.ndarray, prune: Prune) -> np.ndarray:
    """The size of each block [rows, columns]: the mean or the largest size of its weights."""
    size = np.abs(cells(kernel, prune.block_size))
    return size.max((1, 3)) if prune.block_pooling_type == "MAX" else size.mean((1, 3))


def thinned(kernel: np.ndarray, prune: Prune, share: float) -> np.ndarray:
    """A copy in which this share (rounded down) of its blocks is zero, the smallest first.

    Without ``block_size`` each weight is a block.
    """
    flat = block_area(prune) == 1
    size = np.abs(kernel) if flat else pooled(kernel, prune)
    gone = np.zeros(size.size, bool)
    gone[np.argsort(size, axis=None, kind="stable")[: math.floor(share * size.size)]] = True
    mask = gone.reshape(size.shape)
    if not flat:
        mask = mask.repeat(prune.block_size[0], 0).repeat(prune.block_size[1], 1)
    return np.where(mask.reshape(kernel.shape), kernel.dtype.type(0), kernel)


def short(kernel: np.ndarray, prune: Prune, blocks: int = 0) -> int:
    """How many groups or blocks lack zeros; 0: the kernel has the structure.

    m by n: the groups of n input channels with less than m zeros (a rest of fewer channels counts
    as filled up with zeros). Blocks: those that are missing to ``blocks`` whole ones of zeros.
    """
    if prune.sparsity_m_by_n is None:
        gone = int((~cells(kernel != 0, prune.block_size).any((1, 3))).sum())
        return max(0, blocks - gone)
    m, n = prune.sparsity_m_by_n
    rows = (kernel != 0).reshape(-1, *kernel.shape[-2:])  # [window, inputs, outputs]
    rest = -kernel.shape[-2] % n
    rows = np.pad(rows, ((0, 0), (0, rest), (0, 0)))
    filled = rows.reshape(len(rows), -1, n, kernel.shape[-1]).sum(2)
    return int(np.count_nonzero(filled > n - m))


def check_zeros(
    where: str, kernels: Mapping[str, np.ndarray], prune: Prune, zeros: Mapping[str, int]
) -> None:
    """Raise InvariantBroken for the first of ``kernels`` that lacks its structured ``zeros``."""
    if not is_structured(prune):
        return
    for name, count in zeros.items():
        if not count:
            continue
        missing = short(kernels[name], prune, count // block_area(prune))
        if missing:
            what = "blocks" if prune.sparsity_m_by_n is None else "groups"
            expected = f"{structure_name(prune)} zeros"
            raise InvariantBroken(f"{name} {where}", expected, f"{missing:,} {what} without")


def described(prune: Prune) -> Structure | None:
    """The keys of ``prune`` that make a structure; None without one."""
    if not is_structured(prune):
        return None
    return Structure(
        sparsity_m_by_n=prune.sparsity_m_by_n,
        block_size=prune.block_size,
        block_pooling_type=prune.block_pooling_type,
    )


def of_tflite(kernel: np.ndarray) -> np.ndarray:
    """A file's kernel, OHWI or [outputs, inputs], as Keras stores it."""
    return np.moveaxis(kernel, 0, -1)
