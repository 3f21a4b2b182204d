"""Two models on the same examples: which is better, and whether by more than chance."""

from __future__ import annotations

import math

import numpy as np

from tfedge.core.outputs import Change

_Z = 1.959964  # 97.5 % quantile of the normal distribution: a 95 % interval


def compared(before: np.ndarray, after: np.ndarray) -> Change:
    """From how good two models' answers [N] to the same examples are (see ``Work.quality``)."""
    gained, lost = int((after > before).sum()), int((after < before).sum())
    return Change(gained=gained, lost=lost, p=mcnemar(gained, lost))


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of a change in paired answers.

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages", with the binomial distribution instead of its approximation: of the examples on
    which two models differ, each is a fair coin if they are equally good. (Where answers are more
    than right or wrong, it is the sign test.)
    """
    n, few = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, 2 * tail / 2**n)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927): holds near 0 and 1 and for small n."""
    share, z2 = hits / n, _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
