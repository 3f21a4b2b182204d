"""What the audit compares images by: what they show, coarsely."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_SIDE = 32  # of the thumbnails that are compared
_ALIKE, _SURE = 0.99, 0.997  # correlations of thumbnails; between them …
_LEVELS = 6.0  # … they may differ by so much, root mean square, of 255
_FLAT = 8  # levels between the darkest and the lightest value, or fewer


class Look(NamedTuple):
    """``same`` is equal for equal pixels; ``near`` differs in few of its 64 bits for images that
    look alike."""

    same: bytes
    near: int
    flat: bool  # nearly of one colour


def look(pixels: np.ndarray) -> Look:
    """Of an image, uint8 [S, S, 3].

    ``near`` is the difference hash (dHash): whether each of 8 × 8 cells is darker than the one to
    its right.
    """
    cells = _cells(pixels, 8, 9)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    flat = int(pixels.max()) - int(pixels.min()) <= _FLAT
    same = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
    return Look(same, int.from_bytes(bits.tobytes(), "big"), flat)


def alike(pixels_of: Callable[[str], np.ndarray]) -> Callable[[str, str], bool]:
    """Whether two images, by their keys, show the same but for noise and compression."""
    thumbnails: dict[str, np.ndarray] = {}

    def thumbnail(key: str) -> np.ndarray:
        if key not in thumbnails:
            thumbnails[key] = _cells(pixels_of(key), _SIDE, _SIDE).ravel().astype(np.float32)
        return thumbnails[key]

    def compared(one: str, other: str) -> bool:
        first, second = thumbnail(one), thumbnail(other)
        a, b = first - first.mean(), second - second.mean()
        size = float(np.sqrt((a @ a) * (b @ b)))
        correlation = float(a @ b) / size if size > 0 else 0.0
        apart = float(np.sqrt(np.mean((first - second) ** 2)))
        return correlation >= _SURE or (correlation >= _ALIKE and apart <= _LEVELS)

    return compared


def _cells(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The mean of the three channels in each cell of a grid: float [rows, columns]."""
    edges = [np.linspace(0, len(pixels), n + 1).astype(int) for n in (rows, columns)]
    sums = np.add.reduceat(pixels, edges[0][:-1], axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, edges[1][:-1], axis=1, dtype=np.uint32).sum(-1)
    sizes = np.multiply.outer(*(np.diff(edge) for edge in edges))
    found: np.ndarray = sums / (3.0 * sizes)
    return found
