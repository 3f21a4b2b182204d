"""Images that show nothing and are nobody's: smooth noise, blobs, strokes, waves, mixes of them.

Made of integers from numbers alone: the same number gives the same pixels on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_SIDE = 96  # pixels a side of all that is drawn, before it gets the size asked for
_STEPS = 256  # of a mix, and of the way from one pixel to the next


def drawn(number: int) -> np.ndarray:
    """The drawing of that number, uint8 [96, 96, 3]; one in three is grey."""
    # RandomState's stream is frozen; Generator's is not promised to stay.
    random = np.random.RandomState(number)
    found = _KINDS[number % len(_KINDS)](random)
    if number % 3 == 0:
        found = np.repeat(found.sum(axis=2, keepdims=True) // 3, 3, axis=2)
    return found.astype(np.uint8)


def mixed(first: np.ndarray, second: np.ndarray, share: int) -> np.ndarray:
    """``share`` 256ths of the second of two images, the rest of the first; uint8."""
    whole = first.astype(np.int32) * (_STEPS - share) + second.astype(np.int32) * share
    return (whole // _STEPS).astype(np.uint8)


def patched(first: np.ndarray, second: np.ndarray, number: int) -> np.ndarray:
    """The first of two images with a rectangle of the second in it, where ``number`` says."""
    random, size = np.random.RandomState(number), len(first)
    top, left = random.randint(0, size * 3 // 4, 2)
    height, width = random.randint(size // 4, size * 3 // 4, 2)
    found = first.copy()
    found[top : top + height, left : left + width] = second[top : top + height, left : left + width]
    return found


@dataclass(frozen=True)
class Sketch:
    """How an image is made: from a drawn one, with others patched or mixed into it in turn.

    A sketch is small, its image is not: many can be tried without holding more than a few.
    """

    number: int
    changes: tuple[tuple[int, int], ...] = ()  # another's number; how, as a number again

    def image(self, size: int) -> np.ndarray:
        """uint8 [size, size, 3]."""
        found = drawn(self.number)
        for other, how in self.changes:
            second = drawn(other)
            if how % 2:
                found = patched(found, second, how)
            else:
                found = mixed(found, second, 64 + how % 129)
        return enlarged(found, size).astype(np.uint8)

    def changed(self, other: int, how: int) -> Sketch:
        return Sketch(self.number, (*self.changes, (other, how)))


class Sketches:
    """The images of sketches, one after the other."""

    def __init__(self, sketches: Sequence[Sketch], size: int) -> None:
        self._sketches, self._size = sketches, size

    def __len__(self) -> int:
        return len(self._sketches)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (sketch.image(self._size) for sketch in self._sketches)


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """An integer image [side, side, 3] at another size, bilinear; int32 [size, size, 3]."""
    at = np.arange(size) * ((len(image) - 1) * _STEPS) // max(size - 1, 1)
    low, share = at // _STEPS, (at % _STEPS).astype(np.int32)
    high = np.minimum(low + 1, len(image) - 1)
    rows = share[:, None, None]
    found = image.astype(np.int32)
    found = (found[low] * (_STEPS - rows) + found[high] * rows) // _STEPS
    columns = share[None, :, None]
    found = (found[:, low] * (_STEPS - columns) + found[:, high] * columns) // _STEPS
    return found


def _noise(random: np.random.RandomState) -> np.ndarray:
    """Smooth noise of one grain, or of two."""
    grain = (2, 3, 4, 6, 9, 14, 24)[random.randint(7)]
    found = enlarged(random.randint(0, 256, (grain, grain, 3)), _SIDE)
    if random.randint(2):
        fine = enlarged(random.randint(0, 256, (32, 32, 3)), _SIDE)
        found = (3 * found + fine) // 4
    return found


def _plain(random: np.random.RandomState) -> np.ndarray:
    """A background of little contrast: one colour, running slowly into another."""
    colour = random.randint(0, 256, 3)
    ends = colour + random.randint(-32, 33, (2, 2, 3))
    return enlarged(ends.clip(0, 255), _SIDE)


def _blobs(random: np.random.RandomState) -> np.ndarray:
    """Ellipses on a background."""
    found, (down, right) = _plain(random), np.mgrid[:_SIDE, :_SIDE]
    for _ in range(random.randint(1, 7)):
        y, x = random.randint(0, _SIDE, 2)
        tall, wide = random.randint(4, _SIDE // 2, 2)
        inside = ((down - y) * wide) ** 2 + ((right - x) * tall) ** 2 < (tall * wide) ** 2
        found[inside] = random.randint(0, 256, 3)
    return found


def _strokes(random: np.random.RandomState) -> np.ndarray:
    """A line of a few strokes on a background, as a pen draws it."""
    found, (down, right) = _plain(random), np.mgrid[:_SIDE, :_SIDE]
    colour, thick = random.randint(0, 256, 3), random.randint(3, 12)
    points = random.randint(_SIDE // 8, _SIDE * 7 // 8, (random.randint(2, 7), 2))
    for (y0, x0), (y1, x1) in pairwise(points):
        length = max((y1 - y0) ** 2 + (x1 - x0) ** 2, 1)
        along = (down - y0) * (y1 - y0) + (right - x0) * (x1 - x0)
        along = along.clip(0, length)
        far_y = (down - y0) * length - along * (y1 - y0)
        far_x = (right - x0) * length - along * (x1 - x0)
        found[far_y**2 + far_x**2 < (thick * length) ** 2] = colour
    return found


def _waves(random: np.random.RandomState) -> np.ndarray:
    """Stripes, or where two sets of them cross, between two colours."""
    down, right = np.mgrid[:_SIDE, :_SIDE]
    found = np.zeros((_SIDE, _SIDE), np.int64)
    sets = random.randint(1, 3)
    for _ in range(sets):
        a, b = random.randint(-16, 17, 2)
        place = (a * down + b * right + random.randint(256)) % 256
        found += abs(place - 128) * 2 // sets
    dark, light = random.randint(0, 256, (2, 3))
    return (dark * (256 - found[..., None]) + light * found[..., None]) // 256


_KINDS: tuple[Callable[[np.random.RandomState], np.ndarray], ...] = (
    *(_noise, _blobs, _strokes, _waves),
)
