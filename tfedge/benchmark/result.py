"""One measurement: a model on a runtime with so many threads on a device, with all its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from tfedge.benchmark.script.statistics import ONCE, Summary, busy, disturbed, summarise, unstable


@dataclass(frozen=True)
class Host:
    """The machine measured on. Two results of different hosts are never compared as equal. None:
    not known there."""

    cpu: str | None
    machine: str | None  # x86_64, aarch64 …
    cores: int  # that the process may use
    system: str
    python: str | None
    governor: str | None = None
    board: str | None = None  # Raspberry Pi 4 Model B …
    numpy: str | None = None
    memory_bytes: int | None = field(default=None, compare=False)  # a virtual machine's may move

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Host:
        """From the ``device`` of a ``tfedge.bench/1`` document; further keys are left aside."""
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


@dataclass(frozen=True)
class Process:
    """One fresh process, times in nanoseconds. ``warmup_ns`` is no part of any statistic."""

    load_ns: int
    first_ns: int
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...]
    peak_bytes: int | None  # highest resident memory after the imports; None: not known there
    base_bytes: int | None  # resident memory after the imports
    cpu_ns: tuple[int, ...] = ()  # of each sample, over all threads; empty: not known there
    before: dict[str, Any] | None = None  # temperature_c, frequency_hz, throttled, load
    after: dict[str, Any] | None = None
    native: dict[str, Any] | None = None  # what a native binary told instead of samples

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Process:
        given = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        listed = {
            name: tuple(given.get(name, ())) for name in ("warmup_ns", "samples_ns", "cpu_ns")
        }
        return cls(**given | listed)


@dataclass(frozen=True)
class Result:
    model: str  # "float", "int8"
    sha256: str
    bytes: int
    runtime: str
    runtime_version: str
    threads: int
    host: Host
    processes: tuple[Process, ...]
    device: str = "local"  # as the user calls it
    delegate: str = "xnnpack"
    input: str = "random"  # or images
    shapes: tuple[tuple[int, ...], ...] = ()  # of the inputs, as timed; empty: not known
    # How much the delegate took: 31 of 65 nodes. None: not known, or there is none.
    delegated: str | None = field(default=None, compare=False)
    # How images became square: crop, stretch, pad; None: none were fed.
    fit: str | None = field(default=None, compare=False)
    # Which of 16 bits became black and white; None: the upper 8 bits, or no images.
    levels: tuple[int, int] | None = field(default=None, compare=False)
    drift: dict[str, Any] | None = field(default=None, compare=False)
    profile: dict[str, Any] | None = field(default=None, compare=False)
    accuracy: dict[str, Any] | None = field(default=None, compare=False)
    golden: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def samples(self) -> list[int]:
        """Timed inferences of all processes, nanoseconds."""
        return [sample for process in self.processes for sample in process.samples_ns]

    @cached_property
    def summary(self) -> Summary:
        return summarise(self.samples)

    @property
    def per_second(self) -> float:
        """Inferences a second."""
        return 1e9 / self.summary.mean

    @property
    def unstable(self) -> list[str]:
        """Why it should not be trusted, one line each; empty when it is steady."""
        states = [{"before": p.before, "after": p.after} for p in self.processes]
        scatter = unstable([process.samples_ns for process in self.processes])
        times = [{"samples_ns": p.samples_ns, "cpu_ns": p.cpu_ns} for p in self.processes]
        waited = busy(times, self.threads, self.delegate)
        return scatter + waited + disturbed(states, self.drift)

    @property
    def peak_bytes(self) -> int | None:
        """The median process's peak."""
        known = sorted(p.peak_bytes for p in self.processes if p.peak_bytes is not None)
        return known[len(known) // 2] if known else None

    def to_json(self) -> dict[str, Any]:
        """Everything, raw samples too, and beside them the summary for whoever reads the file."""
        derived = {
            "shapes": [list(shape) for shape in self.shapes],
            "summary": self.summary._asdict(),
            "per_second": self.per_second,
            "unstable": self.unstable,
            "peak_bytes": self.peak_bytes,
        }
        given = asdict(self) | derived
        for key in ("fit", "levels"):
            if given[key] is None:
                del given[key]
        return given

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """The inverse; what is derived is worked out anew. KeyError or TypeError: not a result."""
        needed = ("model", "sha256", "bytes", "runtime", "runtime_version", "threads")
        optional = ("device", "delegate", "input", "delegated", "fit", "drift", *ONCE)
        return cls(
            shapes=tuple(tuple(shape) for shape in data.get("shapes", ())),
            **{key: data[key] for key in needed},
            **{key: data[key] for key in optional if key in data},
            levels=tuple(data["levels"]) if "levels" in data else None,
            host=Host.from_json(data["host"]),
            processes=tuple(Process.from_json(process) for process in data["processes"]),
        )


def merge(results: Sequence[Result]) -> Result:
    """Turns of one subject as one result. ValueError when they are not of one subject.

    Of several drifts the worst is kept; the rest is found by one of the turns.
    """
    first, *others = results
    identity = [f.name for f in fields(Result) if f.compare and f.name != "processes"]
    for other in others:
        differing = [name for name in identity if getattr(other, name) != getattr(first, name)]
        if differing:
            raise ValueError(f"not one measurement: they differ in {', '.join(differing)}")
    drifts = [result.drift for result in results if result.drift]
    found = {
        name: next((told for r in results if (told := getattr(r, name)) is not None), None)
        for name in ONCE
    }
    return replace(
        first,
        processes=tuple(process for result in results for process in result.processes),
        drift=max(drifts, key=lambda drift: drift["ratio"], default=None),
        profile=found["profile"],
        accuracy=found["accuracy"],
        golden=found["golden"],
        fit=next((result.fit for result in results if result.fit), None),
        levels=next((result.levels for result in results if result.levels), None),
    )
