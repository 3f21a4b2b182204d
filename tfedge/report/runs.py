"""What ``tfedge runs`` shows: a line a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tfedge.catalog.recipes import quantizing
from tfedge.core.runs import UNREADABLE, FoundRun
from tfedge.files.files import shown
from tfedge.files.text import columns, size_text
from tfedge.report.markup import milliseconds_text, threads_text
from tfedge.tasks.table import DEFAULT, TASKS, task_of
from tfedge.tasks.task import Metric

_HEAD = ("run", "began (UTC)", "status", "task", "float → int8", "size", "latency")


def lines(found: Sequence[FoundRun]) -> list[str]:
    """A table, and below it what is wrong with runs that can't be read."""
    told = document(found)
    rows = [_HEAD, *map(_row, found, told)]
    table = columns(rows, left=(0, 1, 2, 3, 4, 6), gap=2) if found else []
    return table + [f"{row['directory']}: {row['problem']}" for row in told if row["problem"]]


def document(found: Sequence[FoundRun]) -> list[dict[str, Any]]:
    """The same for programs; nanoseconds, bytes, shares of 1. None: there is none."""
    return [_facts(run) for run in found]


def _row(run: FoundRun, facts: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        shown(run.directory.name),
        "–" if run.began is None else f"{run.began:%Y-%m-%d %H:%M}",
        facts["status"],
        facts["task"] or "–",
        _figures(facts),
        "–" if facts["bytes"] is None else size_text(facts["bytes"]),
        _latency(facts["latency"]),
    )


def _figures(facts: Mapping[str, Any]) -> str:
    """The primary metric of float and of int8, as far as they were made."""
    values = [facts[name] for name in ("float", "int8") if facts[name] is not None]
    if not values:
        return "–"
    metric = task_of(facts["task"]).primary
    return f"{metric.label} {' → '.join(metric.figure(value) for value in values)}"


def _latency(rows: Sequence[Mapping[str, Any]]) -> str:
    """The first of the shipped file's, on as few threads as were measured there."""
    if not rows:
        return "–"
    least = min(rows, key=lambda row: (row["device"] != rows[0]["device"], row["threads"]))
    where = f"{least['device']}, {least['runtime']}, {threads_text(least['threads'])}"
    unstable = ", unstable" if least["unstable"] else ""
    return f"{milliseconds_text(least['median_ns'], least['mad_ns'])} ({where}{unstable})"


def _facts(run: FoundRun) -> dict[str, Any]:
    try:
        return _told(run)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        problem = f"run.json does not say what a run says: {type(error).__name__} {error}"
        return _told(replace(run, status=UNREADABLE, result={}, problem=shown(problem)))


def _told(run: FoundRun) -> dict[str, Any]:
    result = run.result
    task = result.get("task", DEFAULT) if result else None
    metrics, model = result.get("metrics") or {}, result.get("model") or {}
    shipped = quantizing(model["recipe"]).ships if model else metrics.get("shipped")
    metric = task_of(task).primary if task in TASKS else None
    return {
        "directory": str(run.directory),
        "pipeline": result.get("pipeline"),
        "began": run.began and run.began.isoformat(timespec="seconds"),
        "status": run.status,
        "problem": run.problem or None,
        "task": task,
        "metric": metric and metric.key,
        "float": _value(metrics.get("float"), metric),
        "int8": _value(metrics.get("int8"), metric),
        "shipped": shipped,
        "bytes": model.get("bytes"),
        "latency": [
            _speed(row) for row in result.get("benchmark") or () if row.get("model") == shipped
        ],
    }


def _value(figures: Mapping[str, Any] | None, metric: Metric | None) -> float | None:
    return figures.get(metric.key) if figures and metric else None


def _speed(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("device", "runtime", "runtime_version", "threads", "delegate", "unstable")
    summary = row["summary"]
    return {key: row[key] for key in keys} | {
        "median_ns": summary["median"],
        "mad_ns": summary["mad"],
    }
