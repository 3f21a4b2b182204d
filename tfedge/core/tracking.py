"""Telling MLflow of a run: its parameters, its figures, the model that ships, the report.

``track`` is in no stage's key: who hears of a run changes nothing about it. MLflow is imported when
a pipeline asks for it, and with its telemetry off.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tfedge.core.rundir import PAGE, PIPELINE, REPORT, RESULT
from tfedge.errors import ArtifactError, MissingDependency, TfedgeError
from tfedge.files.artifact import read_json
from tfedge.files.files import Note
from tfedge.files.imports import imported
from tfedge.pipeline.load import Loaded
from tfedge.redact import without_secrets

INSTALL = "pip install 'tfedge[mlflow]'"
_REFUSED = "mlflow.exceptions:MlflowException"
_LONG = 500  # characters of a value: what every version of MLflow takes
_AT_ONCE = 100  # parameters, and metrics, in one call
_STATES = {"ok": "FINISHED", "interrupted": "KILLED"}
# Of the process, while MLflow is used: its store of plain files is asked for by name here, and
# nothing is told to anybody else.
_SETTINGS = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


def missing(loaded: Loaded) -> MissingDependency | None:
    """The error for a pipeline that is to be tracked by what is not installed."""
    if loaded.pipeline.track is None or find_spec("mlflow") is not None:
        return None
    return MissingDependency("track.mlflow: MLflow is not installed", INSTALL)


@contextmanager
def tracked(loaded: Loaded, run_dir: Path, note: Note) -> Iterator[None]:
    """Tells MLflow, if the pipeline says so, how the run went that ends with the block.

    ArtifactError where MLflow could not take it; of a run that failed itself this is a note."""
    track = loaded.pipeline.track
    if track is None:
        yield
        return
    try:
        yield
    except (TfedgeError, KeyboardInterrupt):
        if (run_dir / RESULT).is_file():
            try:
                _tell(track.mlflow, loaded, run_dir)
            except ArtifactError as error:
                note(f"note: {error.message}")
        raise
    _tell(track.mlflow, loaded, run_dir)


def _tell(place: str, loaded: Loaded, run_dir: Path) -> None:
    with _environment():
        try:
            with _refusals():
                _record(place, loaded, run_dir)
        except (OSError, ImportError) as error:  # of a server requests' are OSErrors
            reason = without_secrets(" ".join(str(error).split()))[:300]
            raise ArtifactError(
                without_secrets(place),
                f"MLflow could not take the run in {run_dir}, which is whole: {reason}",
                "correct track.mlflow and run again: all stages come from the cache",
            ) from error


@contextmanager
def _refusals() -> Iterator[None]:
    """What MLflow itself refuses as an OSError."""
    refused = imported(_REFUSED)
    try:
        yield
    except refused as error:
        raise OSError(str(error)) from error


def _record(place: str, loaded: Loaded, run_dir: Path) -> None:
    result = read_json(run_dir / RESULT)
    uri = place if "://" in place else Path(place).as_uri()
    client = imported("mlflow.tracking:MlflowClient")(tracking_uri=uri)
    name = loaded.pipeline.name
    experiment = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if experiment is None else experiment.experiment_id
    tags = {"tfedge.run": run_dir.name, "tfedge.status": result["status"]}
    run = client.create_run(number, run_name=run_dir.name, tags=tags).info.run_id
    try:
        _fill(client, run, loaded, result, run_dir)
    except BaseException:
        with suppress(imported(_REFUSED), OSError):
            client.set_terminated(run, status="FAILED")
        raise
    client.set_terminated(run, status=_STATES.get(result["status"], "FAILED"))


def _fill(client: Any, run: str, loaded: Loaded, result: Mapping[str, Any], run_dir: Path) -> None:
    """Parameters, figures and files of a run that MLflow has begun."""
    param, metric = (imported(f"mlflow.entities:{kind}") for kind in ("Param", "Metric"))
    now = int(1000 * time.time())
    params = [param(key, text) for key, text in parameters(loaded.resolved()).items()]
    found = [metric(key, value, now, 0) for key, value in figures(result).items()]
    for first in range(0, max(len(params), len(found)), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        client.log_batch(run, metrics=found[part], params=params[part])
    for file, folder in artifacts(result, run_dir):
        client.log_artifact(run, str(file), folder)


def parameters(resolved: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Dotted keys of a pipeline with their values as text."""
    found: dict[str, str] = {}
    for key, value in resolved.items():
        if isinstance(value, Mapping) and value:
            found |= parameters(value, f"{above}{key}.")
        elif f"{above}{key}" != "track.mlflow":
            text = str(value)
            found[f"{above}{key}"] = text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
    return found


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of ``run.json``: of each model, of the file that ships, of each benchmark."""
    found = dict(_numbers(result["metrics"], "metrics"))
    found |= dict(_numbers(result["model"] or {}, "model"))
    for row in result["benchmark"]:
        place = f"latency/{row['model']}, {row['device']}, {row['threads']} threads"
        found |= dict(_numbers({"median ms": row["summary"]["median"] / 1e6}, place))
    found["seconds"] = float(result["seconds"])
    return found


def _numbers(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        name = re.sub(r"[^\w\-. /]", "_", f"{above}/{key}")
        if isinstance(value, Mapping):
            yield from _numbers(value, name)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)


def artifacts(result: Mapping[str, Any], run_dir: Path) -> Iterable[tuple[Path, str | None]]:
    """The files of a run that are kept there, each with its folder."""
    found = [(run_dir / name, None) for name in (RESULT, PIPELINE, REPORT, PAGE)]
    model = [(run_dir / result["model"]["path"], "model")] if result["model"] else []
    return [(file, folder) for file, folder in (*found, *model) if file.is_file()]


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
