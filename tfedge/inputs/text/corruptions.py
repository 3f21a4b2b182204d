"""Ways to make a text harder, on its ids: what people type in the field is not what was collected.

Each takes int32 [2, length], ids and mask, a seed, and how many of the pieces are marks of the
text's beginning and end, and gives ids and mask; the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

SHORT = 32  # pieces that are left of a text, with its marks
DROPPED = 0.15  # share of the pieces between the marks that are missing


def short(ids: np.ndarray, seed: int, marks: int) -> np.ndarray:
    """The text breaks off: its first pieces alone; a text that has no more loses its second
    half."""
    inner = between(ids, marks)
    room = SHORT - marks
    left = room if len(inner) > room else len(inner) // 2
    return _of(ids, inner[: max(left, _least(marks))], marks)


def gaps(ids: np.ndarray, seed: int, marks: int) -> np.ndarray:
    """Pieces are missing here and there, one at least."""
    inner = between(ids, marks)
    rng = np.random.default_rng(seed)
    dropped = min(max(1, round(DROPPED * len(inner))), len(inner) - _least(marks))
    return _of(ids, np.sort(rng.permutation(inner)[dropped:]), marks)


def without(ids: np.ndarray, places: Sequence[int], marks: int) -> np.ndarray:
    """The text without its pieces at these places."""
    return _of(ids, np.setdiff1d(between(ids, marks), np.asarray(places, int)), marks)


def _least(marks: int) -> int:
    """Pieces that a text must keep beside its marks."""
    return 0 if marks else 1


def between(ids: np.ndarray, marks: int) -> np.ndarray:
    """The places of the pieces between the marks."""
    begin = marks // 2
    return np.arange(begin, int(ids[1].sum()) - (marks - begin))


def _of(ids: np.ndarray, places: np.ndarray, marks: int) -> np.ndarray:
    """A text of its pieces at some places, between its marks."""
    count, begin = int(ids[1].sum()), marks // 2
    kept = [*range(begin), *places, *range(count - (marks - begin), count)]
    found = np.zeros_like(ids)
    found[0, : len(kept)], found[1, : len(kept)] = ids[0, kept], 1
    return found


def corruptions(marks: int) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
    """By name, for texts with so many marks."""
    return {one.__name__: partial(one, marks=marks) for one in (short, gaps)}
