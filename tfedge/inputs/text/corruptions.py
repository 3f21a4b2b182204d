"""Ways to make a text harder, on its ids: what people type in the field is not what was collected.

Each takes int32 [2, length], ids and mask, and a seed, and gives the same; the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

SHORT = 32  # pieces that are left of a text, with its two marks
DROPPED = 0.15  # share of the pieces between the marks that are missing


def short(ids: np.ndarray, seed: int) -> np.ndarray:
    """The text breaks off: its first pieces alone; a text that has no more loses its second
    half."""
    inner = int(ids[1].sum()) - 2
    left = SHORT - 2 if inner > SHORT - 2 else inner // 2
    return _of(ids, np.arange(1, 1 + left))


def gaps(ids: np.ndarray, seed: int) -> np.ndarray:
    """Pieces are missing here and there, one at least."""
    inner = np.arange(1, int(ids[1].sum()) - 1)
    rng = np.random.default_rng(seed)
    dropped = max(1, round(DROPPED * len(inner)))
    return _of(ids, np.sort(rng.permutation(inner)[dropped:]))


def without(ids: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """The text without its pieces at these places."""
    inner = np.arange(1, int(ids[1].sum()) - 1)
    return _of(ids, np.setdiff1d(inner, np.asarray(places, int)))


def _of(ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A text of its pieces at some places, between its marks."""
    last = int(ids[1].sum()) - 1
    pieces = [ids[0, 0], *ids[0, places[places < last]], ids[0, last]]
    found = np.zeros_like(ids)
    found[0, : len(pieces)], found[1, : len(pieces)] = pieces, 1
    return found


CORRUPTIONS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {"short": short, "gaps": gaps}
