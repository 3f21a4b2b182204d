"""A model that ships, ready to be asked: a drop's, a run's, or a .tflite by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tfedge.benchmark.script.image_inputs import models_of
from tfedge.config.spelling import did_you_mean
from tfedge.core.outputs import Evaluation, read
from tfedge.core.result import MODEL
from tfedge.core.rundir import RESOLVED, RESULT
from tfedge.drops import manifest
from tfedge.drops.verify import OF_ANOTHER_KIND, contract_check, opened, task_for, work_for
from tfedge.errors import ArtifactError, ConfigError, DropError, UnsupportedModel
from tfedge.files.artifact import read_json
from tfedge.files.files import in_short
from tfedge.files.whole import whole
from tfedge.pipeline.schema import Pipeline, pipeline_of
from tfedge.tasks.drop import Reader, Told
from tfedge.tasks.table import DEFAULT, TASKS, task_of
from tfedge.tasks.task import Examples, Task
from tfedge.tasks.work import work_of
from tfedge.tflite import metadata, reader

_INDEX, _METRICS = "data/index.json", "evaluate/metrics.json"
_OF_RUNS = (MODEL, "convert/float.tflite")  # those that take what the run's examples are
_DEEPEST = 3  # folders between a drop or a run and a model in it
_GIVE = "give a .tflite, a drop (a folder or a .zip) or a run directory"


@dataclass(frozen=True)
class Served:
    """``model`` is the .tflite of a ``task``; ``reader`` makes its inputs and reads its outputs."""

    task: Task
    model: bytes
    reader: Reader


def served(place: Path, cache: Path, task: str | None, told: Told) -> Served:
    """The model of a drop, of a run directory, or in a file. ``task`` and ``told`` are for a file
    that lies in neither; ``task`` None: as its TFLite metadata say.

    Raises:
        ConfigError: what is needed is told by nobody, or is told twice.
        ArtifactError, DropError, UnsupportedModel: what lies there is not what it must be.
    """
    home = home_of(place)
    if home is None:
        return alone(place, task_of(known_task(task) if task else _recognised(place)), told)
    if given := [name for name, value in _options(task, told).items() if value is not None]:
        what = f"{place}: its drop or run says that itself"
        raise ConfigError([f"{what}: leave {', '.join(given)} out"])
    folder, name = home
    if _is_run(folder):
        return by_run(folder, folder / (name or _shipped(folder)), cache)
    with opened(folder) as drop:
        return _of_drop(drop, folder, name)


def _options(task: str | None, told: Told) -> dict[str, object]:
    return {"--task": task, "--labels": told.labels, "--fit": told.fit}


def _is_run(folder: Path) -> bool:
    return folder.is_dir() and not (folder / manifest.NAME).exists()


def home_of(place: Path) -> tuple[Path, str] | None:
    """The drop or run, and the model's name in it, empty for the one that it ships; None: a file
    that lies in neither. ArtifactError for what is nothing of all this."""
    if place.is_dir():
        if any((place / name).exists() for name in (manifest.NAME, RESULT, RESOLVED)):
            return place, ""
        raise ArtifactError(place, "neither a drop nor a run directory", _GIVE)
    if not place.is_file():
        raise ArtifactError(place, "no such model, drop or run", _GIVE)
    with place.open("rb") as file:
        start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        return place, ""
    if start[4:] != reader.IDENTIFIER:
        raise ArtifactError(place, "neither a .tflite nor the .zip of a drop", _GIVE)
    return _around(place.absolute())


def _around(model: Path) -> tuple[Path, str] | None:
    for folder in [*model.parents][:_DEEPEST]:
        name = model.relative_to(folder).as_posix()
        if (folder / manifest.NAME).is_file() and name in models_of(manifest.load(folder)):
            return folder, name
        if name in _OF_RUNS and (folder / RESOLVED).is_file():
            return folder, name
    return None


def task_at(place: Path) -> Task | None:
    """The task of the drop or run that a model lies in; None: in neither, or they are not sound,
    which whoever opens them says."""
    try:
        home = home_of(place)
        if home is None:
            return None
        if not _is_run(home[0]):
            with opened(home[0]) as folder:
                return task_for(manifest.load(folder))
        found = read_json(home[0] / RESOLVED).get("task", DEFAULT)
    except (ArtifactError, DropError, AttributeError):
        return None
    return task_of(found) if found in TASKS else None


# ------------------------------------------------------------------ a drop


def _of_drop(folder: Path, called: Path, name: str) -> Served:
    facts = manifest.load(folder)
    if problems := manifest.untrustworthy(folder, facts):
        raise DropError("\n".join(f"{called}: {one}" for one in problems))
    if name and name != facts["model"]:
        what = f"{called}: {name} is not the model that its manifest describes, {facts['model']} is"
        raise DropError(what)
    file = partial(_listed, folder, facts, called)
    try:
        model = file(facts["model"])
        if problems := [*contract_check(reader.read(model), facts).problems]:
            raise DropError("\n".join(f"{called}: {one}" for one in problems))
        return Served(task_for(facts), model, work_for(facts).reader(facts, file))
    except OF_ANOTHER_KIND as error:
        what = f"{manifest.NAME} does not say what a drop says: {type(error).__name__} {error}"
        raise DropError(f"{called}: {what}") from error


def _listed(folder: Path, facts: Mapping[str, Any], called: Path, name: str) -> bytes:
    """The bytes of a file of the drop, as its manifest lists it."""
    entry = facts["files"][name]
    data = whole(folder / name, manifest.MOST_BYTES)
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise DropError(f"{called}: {name} was changed since the drop was made")
    return data


# ------------------------------------------------------------------ a run


def _shipped(folder: Path) -> str:
    """Which file a run ships. ArtifactError when it made none."""
    if not (folder / RESULT).is_file():
        raise ArtifactError(folder, "a run that has not ended, or was killed", "run it again")
    result = read_json(folder / RESULT)
    if not isinstance(result, dict) or not result.get("model"):
        status = result.get("status") if isinstance(result, dict) else "broken"
        raise ArtifactError(folder, f"this run has no model: it is {status}")
    return MODEL


def by_run(folder: Path, file: Path, cache: Path) -> Served:
    """A model that takes what the examples of a run are, of which none is opened."""
    pipeline, examples = run_of(folder, cache)
    task = task_of(pipeline.task)
    work, model = work_of(task), whole(file, manifest.MOST_BYTES)
    try:
        given, taken = work.contract(model, examples)
        facts = {"input": given, "output": taken, **work.drop_facts(examples)}
    except DropError as error:
        raise UnsupportedModel(str(file), [error.message], "run it again") from error
    facts["chosen"] = _chosen(folder) if file == folder / MODEL else None
    return Served(task, model, work.reader(facts, work.beside(examples).__getitem__))


def run_of(folder: Path, cache: Path) -> tuple[Pipeline, Examples]:
    """A run's pipeline and examples, of which none can be opened. ArtifactError."""
    try:
        pipeline = pipeline_of(read_json(folder / RESOLVED))
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ArtifactError(folder / RESOLVED, f"no pipeline: {in_short(error)}") from error
    work = work_of(task_of(pipeline.task))
    return pipeline, work.examples(folder / _INDEX, pipeline.data, folder, cache)


def _chosen(folder: Path) -> dict[str, Any] | None:
    """What ``evaluate`` chose for the file that ships."""
    file = folder / _METRICS
    return read(file, Evaluation).chosen if file.is_file() else None


# ------------------------------------------------------------------ a file by itself


def alone(place: Path, task: Task, told: Told) -> Served:
    """By what the file and its user say. ConfigError names what neither says."""
    model, work = whole(place, manifest.MOST_BYTES), work_of(task)
    try:
        facts = work.alone(model, told)
    except ConfigError as error:
        raise ConfigError([f"{place}: {one}" for one in error.problems], error.hint) from error
    except UnsupportedModel as error:
        what = f"{place}: it can't be asked this way"
        raise UnsupportedModel(what, error.layers, error.hint) from error
    return Served(task, model, work.reader(facts, _nothing_beside))


def _nothing_beside(name: str) -> bytes:
    raise LookupError(f"{name}: a file by itself has none beside it")


def recognised(place: Path) -> str | None:
    """The only task that knows the TFLite metadata of a file; None: none does, or several do."""
    said = metadata.read(whole(place, manifest.MOST_BYTES), place)
    found = [name for name in TASKS if said and work_of(task_of(name)).recognises(said)]
    return found[0] if len(found) == 1 else None


def _recognised(place: Path) -> str:
    """The same. ConfigError where it is not known."""
    found = recognised(place)
    if found is None:
        where = "lies in no drop or run, and its TFLite metadata don't tell of one task"
        what = f"{place}: what it is for is not known: it {where}"
        raise ConfigError([what], f"--task {' or '.join(TASKS)}")
    return found


def known_task(given: str) -> str:
    """ConfigError for a task that there is none of."""
    if given not in TASKS:
        raise ConfigError([f"--task: no task {given!r}{did_you_mean(given, TASKS)}"])
    return given
