"""Compare two measurements: the ratio of medians with its confidence interval, or a refusal."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from tfedge.benchmark.result import Result
from tfedge.errors import TfedgeError

_RESAMPLES = 2000
_SEED = 1
_CONFIDENCE = 0.95
_MOST = 1000  # samples of a process: a minute of a small model is 300,000, times 2,000 resamples


@dataclass(frozen=True)
class Comparison:
    """``ratio`` = median of ``after`` over median of ``before``: below 1 is faster."""

    ratio: float
    low: float  # 95 % confidence interval of the ratio
    high: float
    differing: tuple[str, ...]  # what differs beside the model, as the caller allowed
    unstable: bool = False  # either of them: then the interval may not hold what is true

    @property
    def significant(self) -> bool:
        return not self.low <= 1.0 <= self.high

    def __str__(self) -> str:
        speed = f"{1 / self.ratio:.2f}× as fast" if self.ratio > 0 else "not measurable"
        interval = f"[{1 / self.high:.2f}, {1 / self.low:.2f}]" if self.low > 0 else ""
        text = f"{speed} {interval}".strip() if self.significant else f"not significant ({speed})"
        if self.differing:
            text += f"; differing in {', '.join(self.differing)}"
        return f"{text}; unstable" if self.unstable else text


def differences(before: Result, after: Result) -> list[str]:
    """What must be the same for two latencies to be comparable, and is not."""
    pairs = {
        "runtime": (before.runtime, after.runtime),
        "runtime version": (before.runtime_version, after.runtime_version),
        "threads": (before.threads, after.threads),
        "delegate": (before.delegate, after.delegate),
        "device": (before.device, after.device),
        "input": (before.input, after.input),
        "shape": (before.shapes, after.shapes),
        "fit": (_fit(before), _fit(after)),
        "levels": (before.levels, after.levels) if before.input == "pictures" else (None, None),
        "cpu": (before.host.cpu, after.host.cpu),
        "machine": (before.host.machine, after.host.machine),
        "cores": (before.host.cores, after.host.cores),
        "governor": (before.host.governor, after.host.governor),
    }
    return [name for name, (a, b) in pairs.items() if a != b]


def _fit(result: Result) -> str | None:
    """How the images were made that were inferred; those of --accuracy are not timed."""
    return result.fit if result.input == "pictures" else None


def compare(before: Result, after: Result, differing: Collection[str] = ()) -> Comparison:
    """Compare medians. What differs beside the model is refused unless named in ``differing``.

    The interval is a hierarchical bootstrap (Davison and Hinkley 1997, section 3.8; Kalibera and
    Jones 2013 for benchmarks): processes are drawn first, then samples within each, since the
    samples of one process are more alike than those of two. A test on pooled samples would call
    the luck of one process significant.
    """
    found = differences(before, after)
    refused = [name for name in found if name not in differing]
    if refused:
        raise TfedgeError(
            f"not comparable: {before.model} and {after.model} differ in {', '.join(refused)}",
            "measure both on the same device with the same runtime and threads",
        )
    rng = np.random.default_rng(_SEED)
    ratios = _medians(after, rng) / _medians(before, rng)
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(ratios, [tail, 100 - tail])
    ratio = after.summary.median / before.summary.median
    doubtful = bool(before.unstable or after.unstable)
    return Comparison(float(ratio), float(low), float(high), tuple(found), doubtful)


def _medians(result: Result, rng: np.random.Generator) -> np.ndarray:
    """Medians of resampled measurements, float64 [resamples]."""
    groups = [np.asarray(p.samples_ns, np.float64) for p in result.processes if p.samples_ns]
    # Evenly over the time that a process took: the interval gets wider by what is left out.
    groups = [group[:: -(-len(group) // _MOST)] for group in groups]
    size = min(len(group) for group in groups)  # the same for all, but with --seconds
    values = np.stack([group[:size] for group in groups])
    drawn = rng.integers(len(groups), size=(_RESAMPLES, len(groups), 1))
    within = rng.integers(size, size=(_RESAMPLES, len(groups), size))
    return np.median(values[drawn, within].reshape(_RESAMPLES, -1), axis=1)
