"""A model that ships, measured on labelled examples: fed and judged as its drop or run says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tfedge.config.section import Section
from tfedge.core.outputs import ModelMetrics, dump
from tfedge.core.rundir import RESOLVED
from tfedge.data.index import SPLITS
from tfedge.data.judging import Example, Labelled, of_data
from tfedge.data.schema import Data
from tfedge.data.sources import data_root
from tfedge.drops.served import (
    Served,
    alone,
    by_run,
    home_of,
    known_task,
    recognised,
    run_of,
    served,
    task_at,
)
from tfedge.errors import ArtifactError, ConfigError, DataError
from tfedge.files.parallel import cores, in_order
from tfedge.files.progress import Progress
from tfedge.files.text import columns
from tfedge.files.whole import whole
from tfedge.pipeline.judging import judging
from tfedge.report.facts import figure
from tfedge.report.terminal import plain
from tfedge.tasks.blocks import Block
from tfedge.tasks.drop import Reader, Told, Unreadable
from tfedge.tasks.streams import evaluation_split
from tfedge.tasks.table import DEFAULT, task_of
from tfedge.tasks.task import Task
from tfedge.tflite.runtime import Pool


@dataclass(frozen=True)
class Judged:
    """What a model is worth on ``n`` examples. ``split``: None where they are not split."""

    task: Task
    split: str | None
    n: int
    metrics: ModelMetrics
    blocks: Sequence[Block]  # what a report says of it

    def to_json(self) -> dict[str, Any]:
        """``task``, ``split``, and the metrics as metrics.json has those of one model."""
        return {"task": self.task.name, "split": self.split, **dump(self.metrics)}

    def lines(self) -> list[str]:
        """For people: the figures with their 95 % intervals, then each class."""
        many = self.task.data.kind.many
        where = f"{self.n} {many}" if self.split is None else f"{self.n} {many} ({self.split})"
        figures = (self.task.primary, *self.task.beside)
        rows = [(metric.label, figure(metric, self.metrics)) for metric in figures]
        return [f"{self.task.name}, {where}", "", *columns(rows, left=(0, 1)), *plain(self.blocks)]


@dataclass(frozen=True)
class Asked:
    """What its user says: the examples, a folder, a table or a run; the split; keys of ``data`` and
    ``evaluate`` as ``--set`` has them; and of a .tflite by itself its task and ``Told``."""

    labelled: str
    split: str | None = None
    overrides: Sequence[str] = ()
    task: str | None = None
    told: Told = field(default_factory=Told)

    @property
    def by_nobody(self) -> bool:
        """Whether nothing is said of a .tflite by itself."""
        return self.task is None and self.told == Told()


def judged(place: Path, asked: Asked, cache: Path, progress: Progress) -> Judged:
    """Measure the model of a drop, of a run, or in a file.

    Raises:
        ConfigError: what is needed is told by nobody, is told twice, or makes no sense.
        DataError: an example can't be read, or has a label that the model does not know.
        ArtifactError, DropError, UnsupportedModel: the model is not what it must be.
    """
    run = _run_at(asked.labelled)
    if home_of(place) is not None:
        found = served(place, cache, asked.task, asked.told)
    elif run is not None and asked.by_nobody and recognised(place) is None:
        progress.note(
            f"note: {place.name}: what it takes and what it tells apart are taken from {run}"
        )
        found = by_run(run, place, cache)
    else:
        return _of_a_file(place, asked, run, cache, progress)
    settings = judging(found.task, asked.labelled, asked.overrides)
    labelled = _labelled(found.task, asked, run, settings.data, cache, progress)
    return _measured(place.name, found, labelled, settings.evaluate, progress)


def _of_a_file(
    place: Path, asked: Asked, run: Path | None, cache: Path, progress: Progress
) -> Judged:
    """A .tflite by itself: what judges it may say what nobody else does."""
    known = recognised(place)
    task = task_of(known_task(asked.task) if asked.task else known or DEFAULT)
    settings = judging(task, asked.labelled, asked.overrides)
    labelled = _labelled(task, asked, run, settings.data, cache, progress)
    told = replace(asked.told, otherwise=labelled.labels, fit=asked.told.fit or labelled.fit)
    if told.labels is None and known is None:
        order = "the run's order" if run is not None else "the order of their names"
        progress.note(
            f"note: where {place.name} names no labels, those of the examples stand in {order}"
        )
    found = alone(place, task, told)
    return _measured(place.name, found, labelled, settings.evaluate, progress)


def _measured(
    name: str, found: Served, labelled: Labelled, evaluate: Section, progress: Progress
) -> Judged:
    reader, examples = found.reader, labelled.examples
    targets = reader.truth([example.label for example in examples])
    pool = Pool(found.model, max(1, min(cores(), len(examples))))
    report = partial(progress.update, f"evaluate {name}", unit=reader.kind.many)
    outputs = pool.answers(Inputs(reader, examples), progress=report)
    metrics = reader.measure(outputs, targets, evaluate)
    blocks = reader.told(metrics)
    return Judged(found.task, labelled.split, len(examples), metrics, blocks)


class Inputs:
    """Examples as a model takes them, read on all cores shortly before they are needed; none is
    kept. DataError, when they are gone through, for a file that can't be an input."""

    def __init__(self, reader: Reader, examples: Sequence[Example]) -> None:
        self._reader, self._examples = reader, examples

    def __len__(self) -> int:
        return len(self._examples)

    def __iter__(self) -> Iterator[np.ndarray]:
        for _, given in in_order(self._read, self._examples, ahead=2 * cores()):
            yield given

    def _read(self, example: Example) -> np.ndarray:
        path = example.path
        content = whole(path, self._reader.largest)
        if example.sha256 and hashlib.sha256(content).hexdigest() != example.sha256:
            raise ArtifactError(path, "was changed since its run listed it", "run it again")
        try:
            return self._reader.content(content, path.name)
        except Unreadable as error:
            told = [f"{path}: {error}"]
            raise DataError(told, "repair the file, or take it away") from error


# ------------------------------------------------------------------ which examples


def _run_at(labelled: str) -> Path | None:
    """The run directory that it is."""
    return Path(labelled) if (Path(labelled) / RESOLVED).is_file() else None


def _labelled(
    task: Task, asked: Asked, run: Path | None, data: Data, cache: Path, progress: Progress
) -> Labelled:
    if run is not None:
        return _of_run(task, run, asked, cache)
    return of_data(data, asked.split, asked.labelled, cache, progress)


def _of_run(task: Task, run: Path, asked: Asked, cache: Path) -> Labelled:
    """Those of a run; ``split`` None: the one that it evaluated on."""
    if asked.overrides and (data := [one for one in asked.overrides if one.startswith("data.")]):
        raise ConfigError([f"--set {data[0]}: {run} says how its examples lie"], "leave it out")
    pipeline, found = run_of(run, cache)
    if pipeline.task != task.name:
        raise DataError([f"{run}: a run of {pipeline.task}, for a model of {task.name}"])
    split = asked.split or evaluation_split(found)
    rows = found.rows_of(split)
    if not rows:
        has = ", ".join(name for name in SPLITS if found.has(name))
        raise DataError([f"{run}: no {split} {task.data.kind.many}"], f"it has {has}")
    root = data_root(pipeline.data, cache)
    told = zip(found.names(rows), found.labels(rows), found.keys(rows), strict=True)
    examples = [Example(root / name, label, split, digest) for name, label, digest in told]
    fit = getattr(pipeline.data, "fit", None)  # of images
    return Labelled(examples, tuple(found.counts[split]), split, fit)


# ------------------------------------------------------------------ for the device script


@contextmanager
def laid_out(
    models: Sequence[Path], labelled: Path, cache: Path, progress: Progress
) -> Iterator[Path]:
    """A folder of labelled examples as the device script reads them: that folder itself, unless the
    models are of a task whose examples are more than a folder for each kind of answer.

    ConfigError where some models are and some are not; else as ``judged``.
    """
    found = [model for model in models if _is_listed(model)]
    if not found:
        yield labelled
        return
    if len(found) < len(models):
        raise ConfigError(["--accuracy: the models are of different tasks"], "one task at a time")
    with TemporaryDirectory(prefix="tfedge-") as place:
        folder = Path(place) / "accuracy"  # devices know what they have by its name, too
        folder.mkdir()
        listed: dict[str, tuple[list[Path], list[str]]] = {}  # by task
        for model in found:
            one = served(model, cache, None, Told())
            name = one.task.name
            if name not in listed:
                listed[name] = _links(one.task, labelled, folder, cache, progress)
            one.reader.laid_out(*listed[name], folder)
        yield folder


def _is_listed(model: Path) -> bool:
    """Whether a file lies in a drop or run of a task whose examples have a reader of their own."""
    task = task_at(model)
    return task is not None and bool(task.data.kind.listed)


def _links(
    task: Task, labelled: Path, folder: Path, cache: Path, progress: Progress
) -> tuple[list[Path], list[str]]:
    """Links to the examples, numbered, and their labels."""
    asked = Asked(str(labelled))
    data = judging(task, asked.labelled, ()).data
    examples = _labelled(task, asked, _run_at(asked.labelled), data, cache, progress).examples
    files = []
    for number, example in enumerate(examples):
        file = folder / f"{number:06d}{example.path.suffix.lower()}"
        file.symlink_to(example.path.absolute())
        files.append(file)
    return files, [example.label for example in examples]
