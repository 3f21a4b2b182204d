"""``run.json``: the machine-readable result of a run, put together from what its stages left."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tfedge
from tfedge.core.cache import Entry
from tfedge.errors import INTERRUPTED, TfedgeError
from tfedge.files.artifact import read_json
from tfedge.tasks.task import Task

SCHEMA = "tfedge.run/1"
_DETAIL = ("worst", "warnings", "proposals")  # stay in evaluate/metrics.json


def assemble(
    run_dir: Path,
    *,
    pipeline: str,
    task: Task,
    status: str,
    seconds: float,
    stages: Sequence[Mapping[str, Any]],
    entries: Mapping[str, Entry],
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The result. ``stages`` are its rows as they stand there; ``entries`` what each has made.

    ``status`` is ok, failed, gate failed or interrupted. Sections of stages that did not run are
    empty (``metrics``, ``benchmark``, ``drops``) or None (``model``, ``data``, ``distill``).
    """
    versions = {"tfedge": tfedge.__version__, "python": platform.python_version()}
    for entry in entries.values():
        versions |= entry.record["versions"]

    def made(stage: str, file: str) -> Any:
        return read_json(run_dir / stage / file) if stage in entries else None

    result = {
        "schema": SCHEMA,
        "status": status,
        "pipeline": pipeline,
        "task": task.name,
        "seconds": round(seconds, 3),
        "stages": list(stages),
        "distill": _distill(made("distill", "distill.json")),
        "metrics": _metrics(made("evaluate", "metrics.json"), task),
        "model": _model(made("convert", "model.json")),
        "benchmark": _benchmark(made("benchmark", "benchmark.json")),
        "drops": made("package", "drops.json") or [],
        "versions": dict(sorted(versions.items())),
        "data": _data(made("data", "index.json")),
    }
    return result if error is None else {**result, "error": dict(error)}


def described(error: BaseException, stage: str) -> dict[str, Any]:
    """An error as run.json has it."""
    facts = {"type": type(error).__name__, "message": str(error), "hint": "", "exit_code": 1}
    if isinstance(error, TfedgeError):
        facts |= {"hint": error.hint, "exit_code": error.exit_code}
    elif isinstance(error, KeyboardInterrupt):
        facts |= {"message": "stopped before the end", "exit_code": INTERRUPTED}
        facts["hint"] = "run the same command again: what is done is taken from the cache"
    return {**facts, "stage": stage}


def _metrics(found: Mapping[str, Any] | None, task: Task) -> dict[str, Any]:
    """The figures, without the tables."""
    if found is None:
        return {}
    models = {
        name: {key: value for key, value in found[name].items() if key not in task.detail}
        for name in ("float", "int8")
        if name in found
    }
    return {key: value for key, value in found.items() if key not in _DETAIL} | models


def _distill(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {k: v for k, v in found.items() if k != "history"}


def _model(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"path": "convert/model.tflite", **{k: v for k, v in found.items() if k != "layers"}}


def _benchmark(found: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Without the raw samples, which stay in benchmark/benchmark.json. A device that was away has a
    row with the reason under ``missing``, and no number."""
    return [{k: v for k, v in row.items() if k != "processes"} for row in found or []]


def _data(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {"digest": found["digest"], "counts": found["counts"]}
