"""What was put side by side: which measurements may be given as a ratio, and the lines for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tfedge.benchmark.compare import Comparison, compare
from tfedge.benchmark.result import Result
from tfedge.devices.matrix import Combination, axes
from tfedge.errors import TfedgeError
from tfedge.report.markup import threads_text

# What may differ when this is what was put side by side; it is said beside the ratio. Two entries
# for one machine stand for what runs on it.
_MAY_DIFFER = {
    "model": ("shape",),
    "device": ("device", "runtime", "runtime version", "delegate"),
    "runtime": ("runtime", "runtime version"),
    "delegate": ("delegate",),
    "threads": ("threads",),
}


class SpeedComparison(NamedTuple):
    after: Result
    before: Result
    axis: str  # the field of Combination in which they differ
    comparison: Comparison | None
    refused: str = ""  # why there is none

    def line(self) -> str:
        told = [
            text
            for axis, text in (
                ("model", self.before.model),
                ("device", self.before.device),
                ("runtime", runtime_text(self.before)),
                ("threads", threads_text(self.before.threads)),
            )
            if axis != self.axis and (axis, self.axis) != ("runtime", "device")
        ]
        head = f"{_side(self.after, self.axis)} against {_side(self.before, self.axis)}"
        return f"{head}, {', '.join(told)}: {self.comparison or self.refused}"

    def to_json(self) -> dict[str, Any]:
        found = self.comparison
        figures = found and {
            "ratio": found.ratio,
            "low": found.low,
            "high": found.high,
            "significant": found.significant,
            "differing": list(found.differing),
            "unstable": found.unstable,
        }
        sides = {"of": _identity(self.after), "against": _identity(self.before)}
        return {**sides, **(figures or {"refused": self.refused})}


def side_by_side(
    measured: Mapping[Combination, Result], places: Mapping[str, object]
) -> Iterator[SpeedComparison]:
    """Along each axis, everything against the first.

    ``places`` says which machine a device is: two machines are no ratio, whatever they are like.
    """
    for axis in axes(list(measured)):
        first: dict[tuple[object, ...], tuple[Combination, Result]] = {}
        for combination, after in measured.items():
            others = tuple(value for name, value in combination._asdict().items() if name != axis)
            base, before = first.setdefault(others, (combination, after))
            if base == combination:
                continue
            if places[base.device] != places[combination.device]:
                yield SpeedComparison(after, before, axis, None, "different devices: not compared")
                continue
            try:
                found = compare(before, after, _MAY_DIFFER[axis])
            except TfedgeError as error:
                yield SpeedComparison(after, before, axis, None, error.message)
            else:
                yield SpeedComparison(after, before, axis, found)


def _side(result: Result, axis: str) -> str:
    if axis == "device":
        return f"{result.device} ({runtime_text(result)})"
    if axis == "runtime":
        return runtime_text(result)
    if axis == "threads":
        return threads_text(result.threads)
    return str(getattr(result, axis))


def runtime_text(result: Result) -> str:
    """With the delegate, unless it is the usual one."""
    plain = f"{result.runtime} {result.runtime_version}"
    return plain if result.delegate == "xnnpack" else f"{plain} ({result.delegate})"


def _identity(result: Result) -> dict[str, Any]:
    keys = ("model", "device", "runtime", "runtime_version", "delegate", "threads")
    return {key: getattr(result, key) for key in keys}
