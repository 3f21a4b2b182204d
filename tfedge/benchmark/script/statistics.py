"""What follows from samples: their summary, and why they should perhaps not be trusted."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

UNSTABLE = 0.10  # of the median, where pyperf warns, too
FAR = 0.20  # of the median: from there to the 90th percentile
BUSY = 0.05  # of the time on the clock: by so much may the CPU's part from it
CLOCKS = 10_000  # nanoseconds a sample: what reading the clocks may take, and more
ONCE = ("profile", "accuracy", "golden")  # found by one process of a model and number of threads


class Summary(NamedTuple):
    """Of samples in nanoseconds. MAD is not scaled to sigma."""

    n: int
    median: float
    mad: float
    mean: float
    low: float
    high: float
    p90: float | None  # None where fewer than five samples lie beyond it
    p99: float | None  # None where fewer than ten do


def summarise(samples: Sequence[int]) -> Summary:
    """The summary of samples in nanoseconds. ValueError when there are none."""
    if not samples:
        raise ValueError("no samples")
    values = np.asarray(samples, np.float64)
    median = np.median(values)
    return Summary(
        n=len(values),
        median=float(median),
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        low=float(values.min()),
        high=float(values.max()),
        p90=float(np.percentile(values, 90)) if len(values) >= 50 else None,
        p99=float(np.percentile(values, 99)) if len(values) >= 1000 else None,
    )


def unstable(processes: Sequence[Sequence[int]]) -> list[str]:
    """Why the samples of these processes should not be trusted; empty when they are steady.

    After pyperf: do they scatter within processes (1.4826 MAD, which one slow sample does not
    move), and do processes differ?
    """
    each = [summarise(samples) for samples in processes if samples]
    if not each:
        return ["no samples"]
    pooled = summarise([sample for samples in processes for sample in samples])
    within = max(1.4826 * one.mad / one.median for one in each)
    medians = [one.median for one in each]
    between = (max(medians) - min(medians)) / pooled.median
    reasons = []
    if pooled.n < 10:
        reasons.append(f"only {pooled.n} sample{'s' if pooled.n > 1 else ''}")
    if within > UNSTABLE:
        reasons.append(f"samples scatter by {within:.0%} of the median within a process")
    if pooled.p90 is not None and pooled.p90 > (1 + FAR) * pooled.median:
        far = pooled.p90 / pooled.median - 1
        reasons.append(f"one in ten inferences takes {far:.0%} longer than the median, or more")
    if between > UNSTABLE:
        reasons.append(f"medians of {len(each)} processes differ by {between:.0%}")
    return reasons


def disturbed(processes: Sequence[dict], drift: dict | None) -> list[str]:
    """What the device did meanwhile, told by its states before and after each process."""
    found = []
    for process in processes:
        states = [process["before"] or {}, process["after"] or {}]
        for key, share in (("temperature_c", 0.2), ("frequency_hz", 0.05)):
            low, high = sorted(one.get(key) or 0 for one in states)
            if 0 < low < high / (1 + share):
                found.append(f"{key} moved between {low:,.0f} and {high:,.0f}")
        if any(one.get("throttled") for one in states):
            found.append("the CPU was throttled (heat or power)")
    if drift and abs(drift["ratio"] - 1) > UNSTABLE:
        found.append(f"the last samples took {drift['ratio']:.2f} times as long as the first")
    return list(dict.fromkeys(found))


def busy(processes: Sequence[dict], threads: int, delegate: str) -> list[str]:
    """What the CPU time of the samples says beside their time on the clock.

    One thread that is not kept waiting computes all the time. Several compute at most so many times
    as long, and how much less depends on the model; and what the others did last, a kernel that
    counts in ticks may add later. There a sample counts as kept waiting if it was slow and its
    threads computed less at once than in the best quarter. With a delegate that is no CPU the CPU
    waits, and nothing can be said.
    """
    known = [one for one in processes if one.get("cpu_ns")]
    if not known or delegate not in ("xnnpack", "none"):
        return []
    lost = []
    for process in known:
        wall = np.asarray(process["samples_ns"], np.float64)
        cpu = np.asarray(process["cpu_ns"], np.float64)
        if cpu.sum() > (1 + BUSY) * threads * wall.sum() + CLOCKS * len(wall):
            more = cpu.sum() / wall.sum()
            return [f"it took the CPU time of {more:.1f} threads, and was given {threads}"]
        waited = 1 - cpu.sum() / wall.sum()
        lost.append(waited if threads == 1 else max(waited, _kept_waiting(wall, cpu)))
    if max(lost) > BUSY:
        return [f"the machine was busy: for {max(lost):.0%} of the time it did not compute this"]
    return []


def _kept_waiting(wall: np.ndarray, cpu: np.ndarray) -> float:
    """The share of the time that samples of several threads took longer for not computing."""
    at_once = cpu / np.maximum(wall, 1)
    usual = np.percentile(wall, 25)
    slow = (wall > (1 + UNSTABLE) * usual) & (at_once < (1 - BUSY) * np.percentile(at_once, 75))
    return float((wall - usual)[slow].sum() / wall.sum())


def joined(results: Sequence[dict]) -> dict:
    """Turns of one model with the same settings as one result, with all that follows from it."""
    processes = [process for result in results for process in result["processes"]]
    samples = [process["samples_ns"] for process in processes]
    summary = summarise([sample for process in samples for sample in process])
    drifts = [result["drift"] for result in results if result["drift"]]
    drift = max(drifts, key=lambda one: one["ratio"], default=None)
    peaks = sorted(one["peak_bytes"] for one in processes if one["peak_bytes"] is not None)
    found = {key: next((one[key] for one in results if one[key]), None) for key in ONCE}
    return {
        **results[0],
        **found,
        "processes": processes,
        "summary": summary._asdict(),
        "drift": drift,
        "unstable": [
            *unstable(samples),
            *busy(processes, results[0]["threads"], results[0]["delegate"]),
            *disturbed(processes, drift),
        ],
        "per_second": 1e9 / summary.mean,
        "peak_bytes": peaks[len(peaks) // 2] if peaks else None,
    }
