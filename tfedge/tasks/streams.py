"""Examples that are gone through, and which of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from tfedge.errors import DataError
from tfedge.tasks.task import Examples

_CHUNK = 256  # examples in memory at a time


class Splits(Protocol):
    """What is divided into train, val and test."""

    def has(self, split: str) -> bool: ...


def evaluation_split(examples: Splits) -> str:
    """``test`` when there is one, else ``val``. DataError when there is neither."""
    for split in ("test", "val"):
        if examples.has(split):
            return split
    raise DataError(["no examples to evaluate on: neither val nor test"], "set data.split.val")


class Stream:
    """The inputs of many examples for ``predict``, in memory a chunk at a time."""

    def __init__(self, examples: Examples, rows: list[int]) -> None:
        self._examples, self._rows = examples, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._rows), _CHUNK):
            yield from self._examples.inputs(self._rows[start : start + _CHUNK])
