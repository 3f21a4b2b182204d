"""Constants that a .tflite stores without their zeros, level by level, and what they stand for.

Each level is a dimension, or a place inside of a block of one, in the order in which the values are
laid down: *dense* lists all its places, *sparse* only those that hold something (compressed sparse
rows). Source: ``SparsityParameters`` in TensorFlow Lite's schema.fbs, after Chou et al. 2018,
"Format abstraction for sparse tensor algebra compilers".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_MOST = 2**28  # elements that are written out; more than any kernel has


@dataclass(frozen=True)
class Level:
    size: int  # places; of a dense level only
    segments: np.ndarray | None = field(default=None, repr=False)  # where each row's places begin
    places: np.ndarray | None = field(default=None, repr=False)  # None: dense


@dataclass(frozen=True)
class Layout:
    order: tuple[int, ...]  # the dimension of each level; those from the rank on are block places
    blocks: tuple[int, ...]  # the dimension that each block place is in
    levels: tuple[Level, ...]


def written_out(stored: np.ndarray, shape: tuple[int, ...], layout: Layout) -> np.ndarray:
    """The whole constant, zeros and all. ValueError when the layout does not fit the shape."""
    rank = len(shape)
    if len(layout.levels) != len(layout.order) or rank + len(layout.blocks) != len(layout.order):
        raise ValueError(f"{len(layout.levels)} levels for {rank} dimensions")
    if sorted(layout.order) != list(range(len(layout.order))):
        raise ValueError(f"the levels are of the dimensions {layout.order}")
    at = np.zeros(1, np.int64)  # positions in the level so far
    found: list[np.ndarray] = []  # for each level, the place of each position
    for level in layout.levels:
        if level.places is None or level.segments is None:
            counts = np.full(len(at), level.size)
            first = at * level.size
        else:
            first = level.segments[at].astype(np.int64)
            counts = level.segments[at + 1] - first
        if (counts < 0).any() or counts.sum() > _MOST:
            raise ValueError("a level has a row that ends before it begins, or is too large")
        found = [np.repeat(places, counts) for places in found]
        start = np.repeat(np.cumsum(counts) - counts, counts)
        inside = np.arange(len(start)) - start
        at = np.repeat(first, counts) + inside
        found.append(inside if level.places is None else level.places[at].astype(np.int64))
    sizes = {
        dimension: level.size for dimension, level in zip(layout.order, layout.levels, strict=True)
    }
    places = dict(zip(layout.order, found, strict=True))
    for block, dimension in enumerate(layout.blocks):
        places[dimension] = places[dimension] * sizes[rank + block] + places[rank + block]
    whole = np.zeros(shape, stored.dtype)
    whole[tuple(places[dimension] for dimension in range(rank))] = stored[at]
    return whole
