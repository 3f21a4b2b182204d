"""How many weights of each layer pruning takes, decided over all layers together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from tfedge.catalog.recipes import pruning
from tfedge.errors import StageError
from tfedge.modeling.compression.structure import pooled
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.structure import XNNPACK_LEAST, block_area, zeros_m_by_n

Kernels = Mapping[str, np.ndarray]  # layer → kernel
Score = Callable[[np.ndarray], np.ndarray]  # kernel → how much each of its weights is worth
Damage = Callable[[str, float], float]  # what a layer with this share of zeros does to the net
Rule = Callable[[Kernels, int, float], dict[str, int]]  # zeros in all, most of each layer → counts

SHARES = (0.2, 0.4, 0.6, 0.8, 0.9)  # at which a layer's sensitivity is measured


def lamp_scores(kernel: np.ndarray) -> np.ndarray:
    """LAMP score of each weight, float64 [size], in the kernel's flat order.

    A weight's square over the sum of squares of the weights of its layer that are not smaller (Lee
    et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning"): scores of different
    layers can be compared.
    """
    squares = np.square(kernel.ravel().astype(np.float64))
    order = np.argsort(squares, kind="stable")
    sums = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = squares[order] / np.maximum(sums, np.finfo(np.float64).tiny)
    return scores


def magnitudes(kernel: np.ndarray) -> np.ndarray:
    """The size of each weight, float64 [size]: as a score it prunes all layers at one threshold."""
    return np.abs(kernel.ravel().astype(np.float64))


def by_score(kernels: Kernels, zeros: int, most: float, score: Score) -> dict[str, int]:
    """How many weights of each layer go, ``zeros`` in all: those with the lowest scores.

    No layer gives more than its share ``most``; what it can't carry goes to the others.
    """
    open_layers = {name: score(kernel) for name, kernel in kernels.items()}
    counts: dict[str, int] = {}
    while open_layers:
        left = max(0, zeros - sum(counts.values()))  # scores may tie, as those of zeros do
        pool = np.concatenate(list(open_layers.values()))
        threshold = np.partition(pool, left - 1)[left - 1] if left else -1.0
        found = {n: int(np.count_nonzero(s <= threshold)) for n, s in open_layers.items()}
        full = {n: math.floor(most * len(open_layers[n])) for n in found}
        over = [name for name in found if found[name] > full[name]]
        if not over:
            counts |= found
            break
        for name in over:
            counts[name] = full[name]
            del open_layers[name]
    return {name: counts[name] for name in kernels}


def by_sensitivity(kernels: Kernels, zeros: int, most: float, damage: Damage) -> dict[str, int]:
    """How many weights of each layer go, ``zeros`` in all, where they do the least damage.

    ``damage`` is asked what each layer pruned alone does at a few shares (the sensitivity scan of
    Han et al. 2015). Taken as a sum over the layers it is least when zeros go, piece by piece, to
    the layer whose damage grows the least a weight; each layer's curve counts as its lower convex
    hull, so that its own pieces come in order.
    """
    shares = [share for share in SHARES if share < most] + [most]
    pieces: list[tuple[float, str, int]] = []  # damage a weight, layer, weights
    for name, kernel in kernels.items():
        full = [math.floor(share * kernel.size) for share in shares]
        told = np.maximum.accumulate([damage(name, share) for share in shares])
        curve = [(0, 0.0), *zip(full, map(float, told), strict=True)]
        for (below, little), (above, much) in itertools.pairwise(_hull(curve)):
            pieces.append(((much - little) / (above - below), name, above - below))
    counts = dict.fromkeys(kernels, 0)
    for _, name, weights in sorted(pieces, key=lambda piece: piece[0]):
        counts[name] += min(weights, zeros - sum(counts.values()))
    return counts


def _hull(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """The lower convex hull of points that go from left to right."""
    hull: list[tuple[int, float]] = []
    for x, y in points:
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (y1 - y0) * (x - x0) < (y - y0) * (x1 - x0):
                break
            hull.pop()
        if not hull or x > hull[-1][0]:  # a kernel of few weights has shares that are the same
            hull.append((x, y))
    return hull


def at_least(kernels: Kernels, zeros: int, most: float, least: float, rule: Rule) -> dict[str, int]:
    """``rule``, but no layer gives less than its share ``least``: the others give less for it."""
    counts = rule(kernels, zeros, most)
    # One more than needed: TF-MOT rounds the count in float32.
    floors = {name: math.ceil(least * kernel.size) + 1 for name, kernel in kernels.items()}
    raised = {name: floors[name] for name in kernels if counts[name] < floors[name]}
    if raised:
        others = {name: kernel for name, kernel in kernels.items() if name not in raised}
        rest = zeros - sum(raised.values())
        counts = raised | (at_least(others, rest, most, least, rule) if others else {})
    return {name: counts[name] for name in kernels}


def uniform(kernels: Kernels, zeros: int, most: float = 1.0) -> dict[str, int]:
    """The same share of every layer, ``zeros`` in all; ``most`` is not below it."""
    total = sum(kernel.size for kernel in kernels.values())
    return {name: math.ceil(kernel.size * zeros / total) for name, kernel in kernels.items()}


def allocate(
    prune: Prune, kernels: Kernels, zeros: int, most: float, damage: Damage | None = None
) -> dict[str, int]:
    """Zeros by layer, by the pipeline's rule. Raises StageError if they can't be carried.

    ``kernels`` can carry the structure that is asked for. Blocks are shared out like weights, each
    as large as its pooled weights. ``damage`` is needed by ``allocation: sensitivity`` alone.
    """
    if prune.sparsity_m_by_n is not None:
        return {name: zeros_m_by_n(prune, kernel.shape) for name, kernel in kernels.items()}
    if (area := block_area(prune)) > 1:
        flat = prune.model_copy(update={"block_size": (1, 1)})
        blocks = {name: pooled(kernel, prune) for name, kernel in kernels.items()}
        counts = allocate(flat, blocks, math.ceil(zeros / area), most, damage)
        return {name: count * area for name, count in counts.items()}
    room = sum(math.floor(most * kernel.size) for kernel in kernels.values())
    if zeros > room:
        raise StageError(
            f"prune.sparsity {prune.sparsity:g} needs {zeros:,} zeros, and the part that trains "
            f"can carry {room:,} ({most:.0%} of each layer)",
            "lower prune.sparsity, or train more of the net (prune.unfreeze: all)",
        )
    rule = _rule(prune.allocation, damage)
    if pruning(prune.recipe).sparse_file and prune.allocation != "uniform":
        return at_least(kernels, zeros, most, XNNPACK_LEAST, rule)
    return rule(kernels, zeros, most)


def _rule(name: str, damage: Damage | None) -> Rule:
    if name == "sensitivity":
        assert damage is not None
        return partial(by_sensitivity, damage=damage)
    if name == "uniform":
        return uniform
    return partial(by_score, score=lamp_scores if name == "lamp" else magnitudes)
