"""Arrays that may not fit into memory, gathered a portion at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

_PORTION = 4096  # rows gathered at a time


class Rows(Protocol):
    """What is gathered by row: an array, or activations that lie in a store."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """[len(rows), …] of the rows of these numbers, int [n]."""


def portions(count: int) -> Iterator[np.ndarray]:
    """The numbers 0 … count − 1, int64, in portions of 4,096 rows."""
    for first in range(0, count, _PORTION):
        yield np.arange(first, min(first + _PORTION, count))


def moments(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, float64 [F], of rows [n, F].

    To the last bit what numpy says of the whole array, which it adds up row by row, too.
    """
    count = len(rows)
    mean = _summed(rows[at].astype(np.float64) for at in portions(count)) / count
    square = _summed(np.square(rows[at] - mean) for at in portions(count)) / count
    return mean, np.sqrt(square)


def _summed(parts: Iterator[np.ndarray]) -> np.ndarray:
    """The sum of all rows of float64 parts [n, F]."""
    total: np.ndarray = next(parts).sum(0)
    for part in parts:
        total = np.concatenate([total[None], part]).sum(0)
    return total


def mean_square(rows: Rows) -> float:
    """Of all values of rows [n, …], added up in float64. It is numpy's of the whole array, to the
    last bit where the number of columns is even."""
    total, values = np.float64(0), 0
    for at in portions(len(rows)):
        part = np.square(rows[at])
        total = np.add.reduce(part, axis=None, dtype=np.float64, initial=total)
        values += part.size
    return float(total / values)
