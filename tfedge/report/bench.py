"""What ``tfedge bench`` shows: a table, what must be said about it, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Any

from tfedge.benchmark.result import Host, Result
from tfedge.benchmark.script.answers import told_accuracy, told_pairs
from tfedge.benchmark.script.run import SCHEMA
from tfedge.files.text import WIDTH, columns, size_text
from tfedge.report.kinds import kinds
from tfedge.report.markup import host_text, milliseconds, threads_text
from tfedge.report.versus import SpeedComparison, runtime_text

_IN_JSON = ("p99 ms", "load ms", "first ms", "p90 ms")  # left out, in this order, for want of room
_LABEL = 24  # columns of a device's name


def document(results: Sequence[Result], ratios: Sequence[SpeedComparison] = ()) -> dict[str, Any]:
    """As docs/bench.md describes it; ``device`` is None when the results are of several."""
    hosts = [result.to_json()["host"] for result in results]
    return {
        "schema": SCHEMA,
        "device": hosts[0] if hosts and all(host == hosts[0] for host in hosts) else None,
        "results": [result.to_json() for result in results],
        "comparisons": [ratio.to_json() for ratio in ratios],
    }


def table(results: Sequence[Result], ratios: Sequence[SpeedComparison] = ()) -> str:
    """For people, in at most 100 columns where names allow it."""
    blocks = [
        _hosts(results),
        _columns(results),
        _wrapped([ratio.line() for ratio in ratios]),
        [line for result in results for line in _findings(result)],
        _wrapped([line for result in results for line in _drift(result)]),
        _wrapped([line for result in results for line in _profile(result)]),
        _wrapped([f"warning: {what}" for result in results for what in _warnings(result)]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def differing(results: Sequence[Result]) -> list[str]:
    """Which results do not give the answers of the golden pairs, in a line each."""
    return [
        f"{_subject(result)}: other answers than the golden pairs in "
        f"{result.golden['failed']} of {result.golden['pairs']} ({result.golden['failure']})"
        for result in results
        if result.golden and result.golden["failed"]
    ]


def _hosts(results: Sequence[Result]) -> list[str]:
    hosts: dict[Host, dict[str, None]] = {}
    for result in results:
        hosts.setdefault(result.host, {})[result.device] = None
    return _wrapped([f"{', '.join(names)}: {host_text(host)}" for host, names in hosts.items()])


def _columns(results: Sequence[Result]) -> list[str]:
    """A row each; a column that would say the same in each row, or nothing, is left out."""
    devices = _short({result.device: None for result in results})
    rows = [
        {
            "model": r.model,
            "device": devices[r.device],
            "runtime": runtime_text(r),
            "threads": str(r.threads),
            "input": _shapes(r),
            "median ± MAD": milliseconds(r),
            "p90 ms": _ms(r.summary.p90),
            "p99 ms": _ms(r.summary.p99),
            "first ms": _ms(_median([p.first_ns for p in r.processes])),
            "load ms": _ms(_median([p.load_ns for p in r.processes])),
            "peak": size_text(r.peak_bytes) if r.peak_bytes else "",
            "samples": f"{r.summary.n} in {len(r.processes)}",
            "delegated": (r.delegated or "").replace(" nodes", ""),
        }
        for r in results
    ]
    if not rows:
        return []
    left_out = [name for name in rows[0] if not any(row[name] for row in rows)]
    left_out += ["device"] if len({row["device"] for row in rows}) == 1 else []
    names = [name for name in rows[0] if name not in left_out]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for name in _IN_JSON:
        if name in names and sum(widths[n] + 2 for n in names) - 2 > WIDTH:
            names.remove(name)
    text = ("model", "device", "runtime", "input")
    left = [number for number, name in enumerate(names) if name in text]
    return columns([names, *([row[name] for name in names] for row in rows)], left=left, gap=2)


def _shapes(result: Result) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in result.shapes)


def _short(devices: Iterable[str]) -> dict[str, str]:
    """Names for a column: of a path its end, as long as that tells them apart."""
    short = {name: name if len(name) <= _LABEL else f"…{name[-_LABEL:]}" for name in devices}
    return short if len(set(short.values())) == len(short) else {name: name for name in short}


def _findings(result: Result) -> Iterator[str]:
    golden, accuracy = result.golden, result.accuracy
    if golden:
        far = golden["max_difference"]
        same = golden["identical"] == golden["pairs"]
        yield (
            f"golden, {_subject(result)}: {golden['identical']} of {golden['pairs']} identical"
            + ("" if same else f", {told_pairs(golden)}")
            + ("" if same or far is None else f", values differ by up to {far:g}")
        )
    if accuracy:
        yield f"accuracy, {_subject(result)}: {told_accuracy(accuracy)}"


def _drift(result: Result) -> Iterator[str]:
    if not result.drift:
        return
    drift = result.drift
    change = f"at the end an inference took {drift['ratio']:.2f} times as long as at the beginning"
    yield f"over {drift['seconds']:.0f} s, {_subject(result)}: {change}"
    for bucket in drift["buckets"]:
        facts = [f"  {bucket['at_s']:7.1f} s  {bucket['median_ns'] / 1e6:9.3f} ms"]
        facts += [f"{bucket['temperature_c']:.0f} °C"] if bucket["temperature_c"] else []
        facts += [f"{bucket['frequency_hz'] / 1e6:.0f} MHz"] if bucket["frequency_hz"] else []
        yield "  ".join(facts)


def _profile(result: Result) -> Iterator[str]:
    profile = result.profile
    if not profile:
        return
    yield f"profile, {_subject(result)} ({profile['method']}; {profile['error']}):"
    for op, ops, ns, share, _ in kinds(profile):
        yield f"  {op:28} {ops:5}  {ns / 1e6:9.3f} ms  {100 * share:5.1f} %"


def _warnings(result: Result) -> Iterator[str]:
    if result.unstable:
        yield f"{_subject(result)} is unstable: {'; '.join(result.unstable)}"


def _subject(result: Result) -> str:
    where = f"{result.device}, {runtime_text(result)}, {threads_text(result.threads)}"
    return f"{result.model} on {where}"


def _wrapped(lines: Sequence[str]) -> list[str]:
    """Long lines over several; a line that is short keeps its columns."""
    return [
        part
        for line in lines
        for part in ([line] if len(line) <= WIDTH else wrap(line, WIDTH, subsequent_indent="  "))
    ]


def _median(values: Sequence[int]) -> float:
    return float(sorted(values)[len(values) // 2])


def _ms(nanoseconds: float | None) -> str:
    if nanoseconds is None:
        return ""
    return f"{nanoseconds / 1e6:.{3 if nanoseconds < 1e6 else 2}f}"
