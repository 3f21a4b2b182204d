"""Runs side by side: what they reached, whether that can be ranked, and what they differ in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from tfedge.benchmark.compare import differences
from tfedge.benchmark.result import Result
from tfedge.core.outputs import ModelMetrics
from tfedge.core.rundir import RESOLVED
from tfedge.errors import ConfigError
from tfedge.files.artifact import read_json
from tfedge.files.files import shown
from tfedge.files.text import columns, size_text
from tfedge.report.facts import Facts, gather
from tfedge.report.markup import milliseconds, threads_text
from tfedge.report.settings import flat
from tfedge.tasks.work import work_of

MOST = len(ascii_uppercase)  # runs in a table
_MAY_DIFFER = {"shape"}  # of what is timed: a smaller input is one way of being faster
_LONGEST = 40  # characters of a value


@dataclass(frozen=True)
class Compared:
    """A run. ``latency`` is the shipped file's, measured as that of the others where all have one;
    None: it was not measured, or in another way."""

    facts: Facts
    keys: Mapping[str, str]
    latency: Result | None

    @property
    def name(self) -> str:
        """That of its directory."""
        return self.facts.run_dir.name

    @property
    def value(self) -> float | None:
        """The primary metric of the shipped file; None: it was not evaluated."""
        model = self.model
        return None if model is None else model.value(self.facts.task.primary)

    @property
    def bytes(self) -> int | None:
        """The shipped file's size."""
        return None if self.facts.model is None else self.facts.model.bytes

    @property
    def model(self) -> ModelMetrics | None:
        """The metrics of the shipped file; None: it was not evaluated."""
        metrics = self.facts.metrics
        return None if metrics is None else metrics.models[metrics.shipped]

    @cached_property
    def examples(self) -> str | None:
        """A digest of the examples that judged it; None: it was not evaluated."""
        facts = self.facts
        if facts.index is None or facts.metrics is None:
            return None
        return work_of(facts.task).split_digest(facts.index, facts.metrics.split)


@dataclass(frozen=True)
class RunComparison:
    """``unranked`` says why the runs can't be ranked; empty: they are. ``front`` are places in
    ``runs`` of those that no other is as good as in everything and better than in something.
    ``differing`` has, for each key of the pipelines that is not the same, the value in each run
    (None: it has no such key)."""

    runs: tuple[Compared, ...]
    unranked: tuple[str, ...]
    notes: tuple[str, ...]
    front: tuple[int, ...]
    differing: Mapping[str, tuple[str | None, ...]]

    def lines(self) -> list[str]:
        """For people."""
        return [*_table(self), *_said(self), *_keys(self)]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_html(self) -> str:
        """The same as a page that needs nothing beside it, with a plot where they are ranked."""
        from tfedge.report.compared import page

        return page(self)

    def to_json(self) -> dict[str, Any]:
        """For programs: nanoseconds, bytes."""
        return {
            "schema": "tfedge.compare/1",
            "runs": [_document(run, at in self.front) for at, run in enumerate(self.runs)],
            "ranked": not self.unranked,
            "unranked": list(self.unranked),
            "notes": list(self.notes),
            "differing": {key: list(values) for key, values in self.differing.items()},
        }


def compare(found: Sequence[tuple[Path, Mapping[str, Any]]]) -> RunComparison:
    """Finished runs, by their directories and run.json; ranked, they stand with the best metric
    first. ConfigError for fewer than two, too many or one twice, ArtifactError for broken files."""
    folders = [folder for folder, _ in found]
    if not 2 <= len(set(folders)) == len(folders) <= MOST:
        raise ConfigError([f"compare takes 2 to {MOST} runs, each once"])
    facts = [gather(folder, result) for folder, result in found]
    measured = _alike(facts)
    runs = [
        Compared(one, flat(read_json(one.run_dir / RESOLVED)), result)
        for one, result in zip(facts, measured, strict=True)
    ]
    reasons = [*_examples(runs), *_latencies(runs)]
    if not reasons:
        runs.sort(key=_costs)
    notes = [*_left_out(runs), *_by_chance(runs), *_unstable(runs)] if not reasons else []
    front = () if reasons else tuple(at for at in range(len(runs)) if _is_best(at, runs))
    return RunComparison(tuple(runs), tuple(reasons), tuple(notes), front, _differing(runs))


# ------------------------------------------------------------------ whether they can be ranked


def _alike(found: Sequence[Facts]) -> list[Result | None]:
    """Of each run the shipped file's latency: measured as those of all others, if that was done,
    else the first."""
    measured = [[r for r in one.benchmark if r.model == one.shipped] for one in found]
    for first in measured[0]:
        same = [next((r for r in rows if not _ways(first, r)), None) for rows in measured]
        if all(same):
            return same
    return [next(iter(rows), None) for rows in measured]


def _ways(one: Result, other: Result) -> list[str]:
    """In what two measurements differ beside the model."""
    return [name for name in differences(one, other) if name not in _MAY_DIFFER]


def _examples(runs: Sequence[Compared]) -> Iterator[str]:
    """Why the accuracy of runs can't be compared."""
    first = runs[0]
    for run in runs:
        if run.value is None:
            yield f"{run.name} was not evaluated"
        elif run.bytes is None:
            yield f"{run.name} made no model"
    if any(run.value is None for run in runs):
        return
    metrics = {f"{run.facts.task.primary.label} of {run.facts.task.name}" for run in runs}
    if len(metrics) > 1:
        yield f"different metrics: {', '.join(sorted(metrics))}"
        return
    for run in runs[1:]:
        if run.examples != first.examples:
            both = f"{first.name} and {run.name} were judged by different examples"
            yield f"{both}: {_split(first)}, {_split(run)}"
    chose = [run.name for run in runs if run.facts.metrics and run.facts.metrics.chose_weights]
    if 0 < len(chose) < len(runs):
        yield f"the examples that judge chose the weights of {', '.join(chose)}, not of the others"


def _split(run: Compared) -> str:
    found = run.facts.metrics
    return "" if found is None else f"{found.n} of {found.split} ({(run.examples or '')[:8]})"


def _latencies(runs: Sequence[Compared]) -> Iterator[str]:
    """Why their latency can't be compared, where they have one."""
    with_one = [run for run in runs if run.latency]
    if with_one and len(with_one) < len(runs):
        away = ", ".join(run.name for run in runs if not run.latency)
        yield f"latency was measured of some only, not of {away}: tfedge bench measures it"
    for run in with_one[1:]:
        first = with_one[0]
        assert first.latency and run.latency
        if ways := _ways(first.latency, run.latency):
            told = f"{first.name} and {run.name} were measured with another {', '.join(ways)}"
            yield f"{told}: {_where(first.latency)}; {_where(run.latency)}"


def _left_out(runs: Sequence[Compared]) -> list[str]:
    return [] if runs[0].latency else ["no latency was measured: it is no part of the front"]


def _by_chance(runs: Sequence[Compared]) -> list[str]:
    """Which runs are within the uncertainty of the best: their intervals overlap."""
    metric = runs[0].facts.task.primary
    found = [model.interval(metric) for run in runs if (model := run.model)]
    known = [between for between in found if between is not None]
    if len(known) < len(runs):
        return []
    low, high = known[0]
    close = [run.name for run, (a, b) in zip(runs, known, strict=True) if a <= high and low <= b]
    if len(close) < 2:
        return []
    count = runs[0].facts.metrics.n if runs[0].facts.metrics else 0
    return [
        f"the 95 % intervals of {', '.join(close)} overlap: on {count} examples their order in "
        f"{metric.label} may be chance"
    ]


def _unstable(runs: Sequence[Compared]) -> list[str]:
    return [
        f"the latency of {run.name} is unstable: {reason}"
        for run in runs
        if run.latency
        for reason in run.latency.unstable
    ]


def _is_best(at: int, runs: Sequence[Compared]) -> bool:
    """Whether no other run dominates this one: as good in everything, better in something."""
    own = _costs(runs[at])
    for run in runs:
        other = _costs(run)
        if other != own and all(a <= b for a, b in zip(other, own, strict=True)):
            return False
    return True


def _costs(run: Compared) -> tuple[float, ...]:
    """Less is better."""
    metric = run.facts.task.primary
    latency = (run.latency.summary.median,) if run.latency else ()
    return (metric.lost(0, run.value or 0), run.bytes or 0, *latency)


# ------------------------------------------------------------------ what they differ in


def _differing(runs: Sequence[Compared]) -> dict[str, tuple[str | None, ...]]:
    keys = dict.fromkeys(key for run in runs for key in run.keys)
    values = {key: tuple(run.keys.get(key) for run in runs) for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


# ------------------------------------------------------------------ for people


def _table(found: RunComparison) -> list[str]:
    return columns(rows_of(found), left=(0, 1, 2, 6), gap=2)


def rows_of(found: RunComparison) -> list[tuple[str, ...]]:
    """A head, and a row a run."""
    metrics = {run.facts.task.primary.label for run in found.runs}
    head = ("", "", "run", " or ".join(sorted(metrics)), "size", "latency", "")
    rows: list[tuple[str, ...]] = [head]
    for at, (letter, run) in enumerate(zip(ascii_uppercase, found.runs, strict=False)):
        latency = (milliseconds(run.latency), _where(run.latency)) if run.latency else ("–", "")
        size = "–" if run.bytes is None else size_text(run.bytes)
        star = "*" if at in found.front else ""
        rows.append((letter, star, shown(run.name), _value(run), size, *latency))
    return rows


def _value(run: Compared) -> str:
    """With its interval, where it has one, and what it is of."""
    model, metric = run.model, run.facts.task.primary
    if model is None:
        return "–"
    between = model.interval(metric)
    told = f" [{', '.join(map(metric.plain, between))}]" if between else ""
    return f"{run.facts.shipped} {metric.figure(model.value(metric))}{told}"


def _where(result: Result) -> str:
    host = ", ".join(one for one in (result.host.board, result.host.cpu) if one)
    runtime = f"{result.runtime} {result.runtime_version}, {result.delegate}"
    return f"{result.device} ({host}), {runtime}, {threads_text(result.threads)}"


def _said(found: RunComparison) -> list[str]:
    if found.unranked:
        return ["", "not ranked:", *(f"  {reason}" for reason in found.unranked)]
    front = f"no other run is as good in {ranked_by(found)}, and better in one of them"
    return ["", f"* Pareto front: {front}", *(f"note: {note}" for note in found.notes)]


def ranked_by(found: RunComparison) -> str:
    metric = found.runs[0].facts.task.primary.label
    return ", ".join([metric, "size", *(["latency"] if found.runs[0].latency else [])])


def _keys(found: RunComparison) -> list[str]:
    if not found.differing:
        return ["", "the pipelines are the same, key by key"]
    head = ("key", *letters(found))
    rows = [(key, *map(short, values)) for key, values in found.differing.items()]
    return ["", *columns([head, *rows], left=range(len(head)), gap=2)]


def short(value: str | None) -> str:
    if value is None:
        return "–"
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"


def letters(found: RunComparison) -> str:
    return ascii_uppercase[: len(found.runs)]


def _document(run: Compared, best: bool) -> dict[str, Any]:
    metrics, latency = run.facts.metrics, run.latency
    return {
        "directory": str(run.facts.run_dir),
        "task": run.facts.task.name,
        "metric": run.facts.task.primary.key,
        "shipped": run.facts.shipped,
        "value": run.value,
        "split": metrics and metrics.split,
        "n": metrics and metrics.n,
        "examples": run.examples,
        "bytes": run.bytes,
        "latency": latency
        and {
            "device": latency.device,
            "cpu": latency.host.cpu,
            "runtime": latency.runtime,
            "runtime_version": latency.runtime_version,
            "delegate": latency.delegate,
            "threads": latency.threads,
            "median_ns": latency.summary.median,
            "mad_ns": latency.summary.mad,
            "unstable": latency.unstable,
        },
        "front": best,
    }
