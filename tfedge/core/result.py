"""``run.json``: the machine-readable result of a run, put together from what its stages left.

Its schema is ``core/run.schema.json``.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tfedge
from tfedge.benchmark.measurements import Measurements
from tfedge.core.cache import Entry
from tfedge.core.outputs import (
    Distillation,
    DropMade,
    DropsMade,
    Evaluation,
    ExampleIndex,
    Kind,
    ModelFile,
    dump,
    read,
)
from tfedge.errors import INTERRUPTED, TfedgeError
from tfedge.files.once import Once
from tfedge.redact import without_secrets
from tfedge.tasks.task import Task

SCHEMA = "tfedge.run/1"
MODEL = "convert/model.tflite"  # what ships, in a run directory
_DETAIL = ("worst", "warnings", "proposals")  # stay in evaluate/metrics.json


@dataclass(frozen=True)
class StageResults:
    """What stages have left, as far as run.json tells it; None for those that did not run."""

    index: ExampleIndex | None = None
    distillation: Distillation | None = None
    model: ModelFile | None = None
    metrics: Evaluation | None = None
    benchmark: Measurements = field(default_factory=Measurements)
    drops: Sequence[DropMade] = ()


def gather(run_dir: Path, stages: Collection[str]) -> StageResults:
    """What these stages have left in the run directory."""

    def made(file: str, kind: type[Kind]) -> Kind | None:
        return read(run_dir / file, kind) if file.split("/")[0] in stages else None

    file = run_dir / "benchmark" / "benchmark.json"
    drops = made("package/drops.json", DropsMade)
    return StageResults(
        index=_index(run_dir / "data" / "index.json") if "data" in stages else None,
        distillation=made("distill/distill.json", Distillation),
        model=made("convert/model.json", ModelFile),
        metrics=made("evaluate/metrics.json", Evaluation),
        benchmark=Measurements.read(file) if "benchmark" in stages else Measurements(),
        drops=drops.root if drops else (),
    )


_index = Once(lambda path: read(path, ExampleIndex))


def assemble(
    made: StageResults,
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
    result = {
        "schema": SCHEMA,
        "status": status,
        "pipeline": pipeline,
        "task": task.name,
        "seconds": round(seconds, 3),
        "stages": list(stages),
        "distill": made.distillation and _without(dump(made.distillation), ["history"]),
        "metrics": _metrics(made.metrics, task),
        "model": made.model and {"path": MODEL, **_without(dump(made.model), ["layers"])},
        "benchmark": made.benchmark.rows(samples=False),  # which stay in benchmark.json
        "drops": [dump(drop) for drop in made.drops],
        "versions": dict(sorted(versions.items())),
        "data": made.index and {"digest": made.index.digest, "counts": made.index.counts},
    }
    return result if error is None else {**result, "error": dict(error)}


def described(error: BaseException, stage: str) -> dict[str, Any]:
    """An error as run.json has it."""
    facts = {
        "type": type(error).__name__,
        "message": without_secrets(str(error)),
        "hint": "",
        "exit_code": 1,
    }
    if isinstance(error, TfedgeError):
        facts |= {"hint": error.hint, "exit_code": error.exit_code}
    elif isinstance(error, KeyboardInterrupt):
        facts |= {"message": "stopped before the end", "exit_code": INTERRUPTED}
        facts["hint"] = "run the same command again: what is done is taken from the cache"
    return {**facts, "stage": stage}


def _metrics(found: Evaluation | None, task: Task) -> dict[str, Any]:
    """The figures, without the tables."""
    if found is None:
        return {}
    models = {name: _without(dump(metrics), task.detail) for name, metrics in found.models.items()}
    return _without(dump(found), _DETAIL) | models


def _without(found: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in keys}
