"""Examples that are nearly the same, by hashes of 64 bits that differ in few of them.

Pairs are looked for among neighbours in sorted order, once for each of eight rotations: in time
proportional to the number of examples, whatever they are. Two hashes with few different bits have
the same leading bits in some rotation; where very many have, some pairs are missed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

BITS = 6  # in which near hashes may differ
_NEIGHBOURS = 32
_FOUND = 50_000  # pairs of one rotation, after which it is enough
_TRIED = 5_000  # pairs that are compared, at most
_SERIES = 2  # pairs from which on a number says that they belong together
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)

Pair = tuple[str, str]


def near_pairs(
    keys: Sequence[str],
    hashes: Sequence[int],
    parts: Sequence[str],
    alike: Callable[[str, str], bool],
) -> list[Pair]:
    """Pairs of keys in different parts whose hashes are near and that ``alike`` confirms, sorted.

    ``parts`` has for each key what it is in, such as its split.
    """
    values = np.array(hashes, np.uint64)
    _, part = np.unique(np.array(parts), return_inverse=True)
    pairs: set[tuple[int, int]] = set()
    for rotation in range(0, 64, 8):
        turned = values
        if rotation:
            turned = values << np.uint64(rotation) | values >> np.uint64(64 - rotation)
        order = np.argsort(turned, kind="stable")
        before = len(pairs)
        for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            first, second = order[:-step], order[step:]
            across = part[first] != part[second]
            first, second = first[across], second[across]
            close = _different_bits(values[first], values[second]) <= BITS
            pairs.update(
                (min(a, b), max(a, b))
                for a, b in zip(first[close].tolist(), second[close].tolist(), strict=True)
            )
            if len(pairs) > before + _FOUND:
                break
    tried = sorted(pairs)[:_TRIED]
    return sorted((keys[a], keys[b]) for a, b in tried if alike(keys[a], keys[b]))


def _different_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    different = (first ^ second).view(np.uint8).reshape(-1, 8)
    count: np.ndarray = _ONES[different].sum(1, dtype=np.int64)
    return count


def numbered(pairs: Sequence[Pair]) -> str | None:
    """An expression that gives most of these pairs one group each, by the number that ends their
    names; None where there is none."""
    expression = r"(.+?)[-_ .]?\d+\.\w+$"
    search = re.compile(expression).search
    found = [[match and match[1] for match in map(search, pair)] for pair in pairs]
    same = sum(one is not None and one == other for one, other in found)
    return expression if len(pairs) >= _SERIES and same >= 0.8 * len(pairs) else None
