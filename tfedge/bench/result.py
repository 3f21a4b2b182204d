"""One measurement: a model on a runtime with so many threads on a host, with all its samples."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tfedge.bench.stats import Summary, summarise, unstable
from tfedge.tflite.runtime import cores

_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Host:
    """The machine measured on. Two results of different hosts are never compared as equal."""

    cpu: str
    machine: str  # x86_64, aarch64 …
    cores: int  # that the process may use
    system: str
    python: str
    governor: str | None  # None: not readable


@dataclass(frozen=True)
class Process:
    """One fresh process, times in nanoseconds. ``warmup_ns`` is no part of any statistic."""

    load_ns: int
    first_ns: int
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...]
    peak_bytes: int | None  # highest resident memory after the imports; None: not known here
    base_bytes: int | None  # resident memory after the imports

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Process:
        """From ``to_json`` of a result or the answer of a worker; further keys are left aside."""
        return cls(
            load_ns=data["load_ns"],
            first_ns=data["first_ns"],
            warmup_ns=tuple(data["warmup_ns"]),
            samples_ns=tuple(data["samples_ns"]),
            peak_bytes=data["peak_bytes"],
            base_bytes=data["base_bytes"],
        )


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

    @property
    def samples(self) -> list[int]:
        """Timed inferences of all processes, nanoseconds."""
        return [sample for process in self.processes for sample in process.samples_ns]

    @cached_property
    def summary(self) -> Summary:
        return summarise(self.samples)

    @property
    def unstable(self) -> list[str]:
        return unstable([process.samples_ns for process in self.processes])

    @property
    def peak_bytes(self) -> int | None:
        """The median process's peak."""
        known = sorted(p.peak_bytes for p in self.processes if p.peak_bytes is not None)
        return known[len(known) // 2] if known else None

    def to_json(self) -> dict[str, Any]:
        """Everything, raw samples too, and beside them the summary for whoever reads the file."""
        derived = {
            "summary": asdict(self.summary),
            "unstable": self.unstable,
            "peak_bytes": self.peak_bytes,
        }
        return asdict(self) | derived

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """The inverse; what is derived is worked out anew. KeyError or TypeError: not a result."""
        plain = ("model", "sha256", "bytes", "runtime", "runtime_version", "threads")
        return cls(
            **{key: data[key] for key in plain},
            host=Host(**data["host"]),
            processes=tuple(Process.from_json(process) for process in data["processes"]),
        )


def this_host() -> Host:
    return Host(
        cpu=_cpu(),
        machine=platform.machine(),
        cores=cores(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=_first_line(_GOVERNOR),
    )


def _cpu() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {key.strip(): value.strip() for key, value in named.items()}
    # Boards say "Model" (Raspberry Pi 4 …) or "Hardware" where PCs say "model name".
    known = (fields.get(key) for key in ("model name", "Model", "Hardware"))
    return next((name for name in known if name), platform.processor() or "unknown")


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except OSError:
        return None
