"""TensorFlow's native ``benchmark_model``: how it is called, and what it prints.

It tells no single inferences, whatever the flags: count, extremes, mean and standard deviation,
from 2023 on also the median and two percentiles, in whole microseconds. (Its result file holds the
same figures.) Read here are the lines that all versions share, TensorFlow Lite's and LiteRT's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FINE = 100  # microseconds: from here on a median in whole ones is exact to 1 %
_MEGABYTE = 1 << 20
_XNNPACK = re.compile(r"XNNPACK delegate", re.I)
_COUNT = re.compile(r"^(?:INFO: )?count=(\d+)(.*)$", re.M)
_PAIR = re.compile(r"\b(\w+)=([0-9.]+(?:e[+-]?\d+)?)")
_LOADED = re.compile(r"Initialized session in ([0-9.e+-]+)ms")
_ENDED = re.compile(r"Inference timings in us|BENCHMARK RESULTS")
_MEMORY = (
    re.compile(r"init=(?P<init>[0-9.e+-]+) overall=(?P<overall>[0-9.e+-]+)"),
    re.compile(
        r"Init footprint: +(?P<init>[0-9.]+) MB.*?Overall footprint: +(?P<overall>[0-9.]+) MB", re.S
    ),
)
_APPLIED = re.compile(
    r"Explicitly applied (?P<name>\w+) delegate, and the model graph will be (?P<how>\w+) executed"
)
_REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\)")
_IGNORED = re.compile(r"Unconsumed cmdline flags: *(.*\S)")

# The flags that switch a delegate on; any other word is the path of an external delegate.
DELEGATES = {
    "xnnpack": "--use_xnnpack=true",
    "none": "--use_xnnpack=false",
    "gpu": "--use_gpu=true",
    "nnapi": "--use_nnapi=true",
}


class Unreadable(ValueError):
    """It printed no measurement, or not the one that was asked for; the message says why."""


@dataclass(frozen=True)
class Stats:
    """Microseconds, except ``count``; None: this version does not print it."""

    count: int
    first: float
    min: float
    max: float
    avg: float
    std: float
    median: float | None
    p5: float | None
    p95: float | None

    @property
    def typical(self) -> tuple[str, float]:
        """The figure that stands for this process, and its name."""
        if self.median is not None and self.median >= _FINE:
            return "median", self.median
        return "avg", self.avg


@dataclass(frozen=True)
class Reading:
    load_us: float
    warmup: Stats  # the first inference is its first
    timed: Stats
    delegated: str | None  # "completely", "partially", "31 of 65 nodes"; None: it does not say
    memory_bytes: dict[str, int] | None  # growth of the peak by loading ("init") and "overall"

    def native(self) -> dict[str, Any]:
        """What it told, nanoseconds and bytes: beside the one sample that a process counts as."""
        timed, name = self.timed, self.timed.typical[0]
        keys = ("min", "max", "avg", "std", "median", "p5", "p95")
        found = {key: getattr(timed, key) for key in keys}
        return {
            "count": timed.count,
            **{f"{k}_ns": None if v is None else round(1000 * v) for k, v in found.items()},
            "sample": name,
            "warmup": {"count": self.warmup.count, "avg_ns": round(1000 * self.warmup.avg)},
            "delegated": self.delegated,
            "memory_bytes": self.memory_bytes,
        }


@dataclass(frozen=True)
class Input:
    """An input as it is timed. ``open``: the file leaves its shape open."""

    name: str
    shape: tuple[int, ...]
    open: bool = False


@dataclass(frozen=True)
class Work:
    """What it is to do."""

    model: str  # its name in results
    path: Path
    threads: int = 1
    runs: int = 50
    warmup: int = 10
    seconds: float | None = None  # run so long instead of ``runs`` times
    delegate: str = "xnnpack"  # or none, gpu, nnapi, PATH[,key=value…] on the device
    profile: bool = False  # in a process of its own, after the one that is measured
    timeout: float = 1800.0  # seconds for one process
    # Names and shapes of the inputs, and whether the file leaves them open.
    inputs: tuple[Input, ...] = ()


def command(tool: str, model: str, work: Work, *, profile: bool = False) -> list[str]:
    """argv, of files on the device. One more warm-up than asked for, as the first inference is
    counted apart.

    With ``seconds`` it runs that long; otherwise exactly ``runs`` times, where it would by itself
    go on for a second at least.
    """
    return [
        tool,
        f"--graph={model}",
        f"--num_threads={work.threads}",
        f"--warmup_runs={work.warmup + 1}",
        "--warmup_min_secs=0",
        f"--num_runs={1 if work.seconds else work.runs}",
        f"--min_secs={work.seconds or 0:g}",
        f"--max_secs={work.timeout:g}",
        *_input_flags(work.inputs),
        *_delegate_flags(work.delegate),
        *(["--enable_op_profiling=true"] if profile else []),
    ]


def _input_flags(inputs: Sequence[Input]) -> list[str]:
    """All of them, as it takes all or none."""
    if not any(port.open for port in inputs):
        return []
    shapes = ":".join(",".join(map(str, port.shape)) for port in inputs)
    return [
        f"--input_layer={','.join(port.name for port in inputs)}",
        f"--input_layer_shape={shapes}",
    ]


def _delegate_flags(delegate: str) -> list[str]:
    if delegate in DELEGATES:
        return [DELEGATES[delegate]]
    path, *options = delegate.split(",")
    flags = [f"--external_delegate_path={path}"]
    if options:
        pairs = ";".join(option.replace("=", ":", 1) for option in options)
        flags.append(f"--external_delegate_options={pairs}")
    return flags


def parse(text: str, delegate: str) -> Reading:
    """Read what it printed, stdout and stderr together. Unreadable: see there."""
    counts = [_stats(int(count), rest) for count, rest in _COUNT.findall(text)]
    loaded = _LOADED.search(text)
    if loaded is None or len(counts) < 2 or not _ENDED.search(text):
        raise Unreadable(f"it printed no measurement: {failure(text)}")
    warmup, timed = counts[:2]
    if not warmup.count or not timed.count:
        raise Unreadable("it ended before the first inference")
    return Reading(
        load_us=1000 * float(loaded[1]),
        warmup=warmup,
        timed=timed,
        delegated=_delegated(text, delegate),
        memory_bytes=_memory(text),
    )


def failure(text: str) -> str:
    """The line that says why it failed: the last one only says that it did."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [
        line.removeprefix("ERROR: ")
        for line in lines
        if line.startswith(("ERROR: ", "FATAL: ")) and "Benchmarking failed" not in line
    ]
    return (errors or lines or ["it printed nothing"])[0 if errors else -1]


def _stats(count: int, rest: str) -> Stats:
    found = {key: float(value) for key, value in _PAIR.findall(rest)}
    only = found.get("curr", 0.0)  # all that is printed when all inferences took the same
    return Stats(
        count=count,
        first=found.get("first", only),
        min=found.get("min", only),
        max=found.get("max", only),
        avg=found.get("avg", only),
        std=found.get("std", 0.0),
        median=found.get("median"),
        p5=found.get("p5"),
        p95=found.get("p95"),
    )


def _delegated(text: str, delegate: str) -> str | None:
    """How much runs in the delegate. Unreadable where it is not the one that was asked for: the
    binary leaves out flags that it does not know, and goes on without a delegate it lacks."""
    ignored = _IGNORED.search(text)
    lost = {flag.partition("=")[0] for flag in ignored[1].split()} if ignored else set()
    lost &= {flag.partition("=")[0] for flag in _delegate_flags(delegate)}
    xnnpack = bool(_XNNPACK.search(text))
    if delegate == "none":
        if lost and xnnpack:
            raise Unreadable("this benchmark_model can't do without XNNPACK (LiteRT's can't)")
        return None
    applied, replaced = list(_APPLIED.finditer(text)), _REPLACED.findall(text)
    if delegate == "xnnpack":
        if lost and not xnnpack:
            raise Unreadable("this benchmark_model has no XNNPACK")
    else:
        applied = [match for match in applied if match["name"] != "XNNPACK"]
        replaced = [match for match in replaced if "XNNPack" not in match[2]]
        if lost or not (applied or replaced):
            why = f"it does not know {', '.join(sorted(lost))}" if lost else failure(text)
            raise Unreadable(f"the delegate {delegate} was not applied: {why}")
    if replaced:
        return f"{replaced[0][0]} of {replaced[0][1]} nodes"
    return applied[0]["how"] if applied else None


def _memory(text: str) -> dict[str, int] | None:
    for pattern in _MEMORY:
        if found := pattern.search(text):
            return {
                key: round(float(value) * _MEGABYTE) for key, value in found.groupdict().items()
            }
    return None


def parse_profile(text: str) -> dict[str, Any] | None:
    """Time per op type and per op, nanoseconds an inference; None when there is none.

    The names are those of the nodes that ran: with XNNPACK, of its operators.
    """
    section = text.partition("Operator-wise Profiling Info for Regular Benchmark Runs")[2]
    ops = _table(section, "Run Order", "[node type]")
    types = _table(section, "Summary by node type", "[Node type]")
    if not ops or not types:
        return None
    whole = sum(float(row["[avg ms]"]) for row in types)
    return {
        "method": "benchmark_model",
        "error": "profiling itself takes some time; not part of the latency, measured without it",
        "types": [
            {
                "op": row["[Node type]"],
                "count": int(row["[count]"]),
                "ns": _nanoseconds(row),
                "share": float(row["[avg ms]"]) / whole if whole else 0.0,
            }
            for row in types
        ],
        "ops": [
            {
                "index": index,
                "op": row["[node type]"],
                "name": re.sub(r"^\[(.*)\](:\d+)?$", r"\1", row["[Name]"]),
                "ns": _nanoseconds(row),
            }
            for index, row in enumerate(ops)
        ],
    }


def _nanoseconds(row: dict[str, str]) -> int:
    return round(1e6 * float(row["[avg ms]"]))


def _table(text: str, title: str, key: str) -> list[dict[str, str]]:
    """Rows below a title, by the names in its heading; columns are separated by tabs."""
    lines = iter(text.partition(f" {title} ==")[2].splitlines()[1:])
    names = next(lines, "").strip("\t ").split("\t")
    names = [name.strip() for name in names]
    rows = []
    if key in names:
        for line in lines:
            cells = [cell.strip() for cell in line.strip("\t ").split("\t")]
            if len(cells) != len(names):
                break
            rows.append(dict(zip(names, cells, strict=True)))
    return rows
