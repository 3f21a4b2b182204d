"""Statistics of latency samples: robust ones, and only those that the number of samples carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A percentile needs samples beyond it: five above the 90th of 50, ten above the 99th of 1000.
_P90_FROM = 50
_P99_FROM = 1000
UNSTABLE = 0.10  # of the median; pyperf warns at the same share
_SIGMA = 1.4826  # MAD to the standard deviation of a normal distribution
_FEW = 10


@dataclass(frozen=True)
class Summary:
    """Nanoseconds, except ``n``."""

    n: int
    median: float
    mad: float  # median absolute deviation from the median, as it is (not scaled to sigma)
    mean: float
    low: float
    high: float
    p90: float | None  # None: too few samples to say
    p99: float | None


def summarise(samples: Sequence[int]) -> Summary:
    """ValueError when there are none."""
    if not samples:
        raise ValueError("no samples")
    values = np.asarray(samples, np.float64)
    median = float(np.median(values))
    return Summary(
        n=len(values),
        median=median,
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        low=float(values.min()),
        high=float(values.max()),
        p90=float(np.percentile(values, 90)) if len(values) >= _P90_FROM else None,
        p99=float(np.percentile(values, 99)) if len(values) >= _P99_FROM else None,
    )


def unstable(processes: Sequence[Sequence[int]]) -> list[str]:
    """Why a measurement should not be trusted, one line each; empty when it is steady.

    Two questions, after pyperf: do samples scatter within the processes, and do processes differ
    from one another? The spread is 1.4826 MAD, which a single slow sample does not move.
    """
    pooled = [sample for samples in processes for sample in samples]
    if not pooled:
        return ["no samples"]
    reasons = []
    if len(pooled) < _FEW:
        reasons.append(f"only {len(pooled)} samples")
    whole = summarise(pooled)
    within = max(_SIGMA * summarise(s).mad / summarise(s).median for s in processes if s)
    if within > UNSTABLE:
        reasons.append(f"samples scatter by {within:.0%} of the median within a process")
    medians = [summarise(s).median for s in processes if s]
    between = (max(medians) - min(medians)) / whole.median
    if between > UNSTABLE:
        reasons.append(f"medians of {len(medians)} processes differ by {between:.0%}")
    return reasons
