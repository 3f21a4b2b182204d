"""The pictures that no weight was trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfedge.data.index import Index
from tfedge.errors import DataError
from tfedge.inputs.images.pictures import Pictures

_CHUNK = 256  # pictures in memory at a time


def evaluation_split(index: Index) -> str:
    """``test`` when there is one, else ``val``. DataError when there is neither."""
    for split in ("test", "val"):
        if index.has(split):
            return split
    raise DataError(["no pictures to evaluate on: neither val nor test"], "set data.split.val")


class Stream:
    """Pixels of many pictures for ``predict``, in memory a chunk at a time."""

    def __init__(self, pictures: Pictures, rows: list[int]) -> None:
        self._pictures = pictures
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._rows), _CHUNK):
            yield from self._pictures.pixels(self._rows[start : start + _CHUNK])
