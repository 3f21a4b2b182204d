"""What a task is: one row, which knows its heavy halves by name only, and what these can do.

A task says what an example is, what a good answer is, and what a drop for it holds. Stages, core,
drops and report ask the row of the pipeline's ``task`` and never which task it is. Nothing here
imports numpy or TensorFlow; a row's ``work`` and ``head`` are imported when a stage runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tfedge.config.section import Section
from tfedge.data.schema import Data
from tfedge.files.progress import Progress
from tfedge.tasks.blocks import Block, Part, percent
from tfedge.tasks.drop import DropWork

if TYPE_CHECKING:
    import numpy as np

    from tfedge.core.outputs import Base, Evaluation, ModelMetrics
    from tfedge.pipeline.problem import Problem
    from tfedge.pipeline.schema import Finetune, Pipeline

# A model itself: inputs [n, …], as ``Examples.inputs`` gives them, to outputs [n, …].
Ask = Callable[["np.ndarray"], "np.ndarray"]


@dataclass(frozen=True)
class Metric:
    """A figure by which models are compared.

    ``key`` is its name in metrics.json and run.json, ``label`` in a sentence. ``share``: it lies
    between 0 and 1 and is told in per cent; otherwise it is a plain number. ``interval`` says how
    its confidence interval is found, where it has one.
    """

    key: str
    label: str
    higher: bool = True  # is better
    share: bool = True
    interval: str = "Wilson"

    @property
    def title(self) -> str:
        """The label as a sentence begins with it."""
        return self.label[:1].upper() + self.label[1:]

    def text(self, value: float) -> str:
        """As a sentence has it: ``81.1%``, or four digits of a plain number."""
        return f"{value:.1%}" if self.share else f"{value:.4g}"

    def figure(self, value: float) -> str:
        """As a table has it."""
        return percent(value) if self.share else f"{value:.4g}"

    def plain(self, value: float) -> str:
        """As a table has it, without its unit."""
        return f"{100 * value:.1f}" if self.share else f"{value:.4g}"

    def named(self, value: float) -> dict[str, Any]:
        """The figure under its name."""
        return {self.key: value}

    def lost(self, before: float, after: float) -> float:
        """By how much ``after`` is worse than ``before``; negative when it is better."""
        return before - after if self.higher else after - before

    def difference(self, value: float) -> str:
        """A loss or gain: ``1.2 points``, or a plain number."""
        return f"{100 * value:.1f} points" if self.share else f"{value:.4g}"


@dataclass(frozen=True)
class Task:
    """One row.

    ``data``, ``evaluate`` and ``backbone`` are its sections of the pipeline file, the last a
    ``pipeline.schema.Net``, and ``teacher`` is another, that of ``distill.teacher`` (None: those of
    nets over images). ``rules`` gives what is wrong
    with a pipeline, and ``notes`` what is allowed but should be known, as far as this task knows.
    ``primary`` is the figure that gates, phases and reports go by, ``beside`` are others that a
    summary tells, ``least`` those that a gate of the task's own holds, by the gate's key: the
    worst value that the shipped file may have.

    ``sections`` are others of the pipeline file that it has with defaults of its own, by name.
    ``may_lose`` are figures of which a gate says how much int8 may lose against float, by its key.

    ``inputs`` are the dotted keys that say how an example becomes the model's input, ``shape``
    those of them that its shape follows from, ``views`` those of what is changed about examples
    that are learnt from, ``judged_by`` those of what is measured, ``scanned`` those that the audit
    of the examples asks beside ``data``: stages that depend on them hash them. ``libs`` are the
    distributions whose versions examples depend on. ``detail`` are the keys of a model's metrics
    that run.json leaves to metrics.json.

    ``harder`` says where its corruptions are from. ``sample`` is a ``data.path`` that needs no
    download. ``drops`` are the targets that it has drops for.

    ``draft`` is ``"module:function"`` of what gives a first pipeline for a folder, see
    ``tasks/draft.py``; a task without one is not proposed.

    ``work`` is ``"module:Class"`` of a ``Work`` (numpy) and ``head`` of a ``Head`` (TensorFlow);
    ``texts`` is ``"module:function"``, without either, of everything that drops are made of as it
    is or with marks filled in, by name: a drop with another text is made anew.
    """

    name: str
    data: type[Data]
    evaluate: type[Section]
    primary: Metric
    work: str
    head: str
    texts: str
    rules: Callable[[Pipeline], Iterable[Problem]] = lambda pipeline: ()
    notes: Callable[[Pipeline], Iterable[str]] = lambda pipeline: ()
    inputs: tuple[str, ...] = ()
    shape: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    judged_by: tuple[str, ...] = ()
    sample: str = ""
    libs: tuple[str, ...] = ()
    detail: tuple[str, ...] = ()
    beside: tuple[Metric, ...] = ()
    least: Mapping[str, Metric] = field(default_factory=dict, hash=False)
    may_lose: Mapping[str, Metric] = field(default_factory=dict, hash=False)
    sections: Mapping[str, type[Section]] = field(default_factory=dict, hash=False)
    harder: str = ""
    drops: tuple[str, ...] = ()
    version: int = 1
    backbone: type[Section] | None = None
    teacher: type[Section] | None = None
    scanned: tuple[str, ...] = ()
    draft: str = ""

    def keys(self) -> dict[str, tuple[str, ...]]:
        """What the stage table's ``task.…`` stands for in this task."""
        return {
            "task.inputs": self.inputs,
            "task.shape": self.shape,
            "task.views": self.views,
            "task.judged_by": self.judged_by,
            "task.scanned": self.scanned,
            "task.libs": self.libs,
        }

    def facts(self) -> dict[str, Any]:
        """What a stage's key holds of the task."""
        return {"name": self.name, "version": self.version}


@dataclass(frozen=True)
class Material:
    """What a head is made of in one run. ``views``: it learns, and from changed views too where the
    pipeline asks for them. ``cache`` is the folder of record stores."""

    task: Task
    work: Work
    examples: Examples
    data: Data
    seed: int
    cache: Path
    progress: Progress
    views: bool = True


class Examples(Protocol):
    """The examples of a run, by row number. ``split`` is train, val or test."""

    @property
    def digest(self) -> str:
        """SHA-256 over all examples and what is known of them."""

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many there are, by split and kind."""

    def rows_of(self, split: str) -> list[int]: ...

    def has(self, split: str) -> bool: ...

    def keys(self, rows: Iterable[int]) -> list[str]:
        """The SHA-256 of each example's content."""

    def labels(self, rows: Iterable[int]) -> list[str]:
        """What is said of each, as a listing has it (see ``data.listing.Entry``)."""

    def names(self, rows: Iterable[int]) -> list[str]:
        """How a person finds them: paths relative to the data root."""

    def inputs(self, rows: Sequence[int]) -> np.ndarray:
        """[n, …] as the shipped model takes them, without the batch of one."""

    def targets(self, rows: Iterable[int]) -> np.ndarray:
        """[n, …] what is true of them."""

    def representative(self, count: int, seed: int, split: str = "train") -> list[int]:
        """Rows of a split that stand for all of it, ``count`` at most."""


class Work(DropWork, Protocol):
    """The half of a task that needs numpy alone: what it says of a model's outputs.

    ``outputs`` are float [N, …], what a served model gives for N examples; ``targets`` [N, …].
    ``noise`` is the one of ``corruptions`` that ``prune.noise`` and its like show in training.
    """

    noise: str
    chooses: bool  # see ``chosen``

    def scan(self, pipeline: Pipeline, cache: Path, progress: Progress, out: Path) -> None:
        """Look at all examples: write index.json and audit.json into ``out``. Of the pipeline only
        ``data`` and the task's ``scanned`` keys can be read.

        Raises DataError with all that is wrong with them."""

    def examples(self, index: Path, data: Data, root: Path, cache: Path) -> Examples:
        """Those that index.json lists, whose files lie below ``root``. ArtifactError."""

    def split_digest(self, index: Path, split: str) -> str:
        """SHA-256 over the examples of a split in index.json, by their content and what is true of
        them: the same for the same ones, whatever their names and the other splits are.
        ArtifactError."""

    def problem(self, outputs: np.ndarray, examples: Examples) -> tuple[str, str] | None:
        """What outputs must be and what these are, when they are none of this task's."""

    def settings(self, evaluate: Any, examples: Examples) -> dict[str, Any]:
        """What metrics.json says of how it was measured."""

    def measure(
        self,
        outputs: np.ndarray,
        targets: np.ndarray,
        examples: Examples,
        evaluate: Any,
        chosen: Mapping[str, Any],
    ) -> ModelMetrics:
        """The metrics of one model, in the task's own type; the primary one among them. ``chosen``
        is what the method of that name gives, empty where it gives nothing."""

    def primary(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """The primary metric alone."""

    def quality(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """[N], how good each answer is: more is better, equal is equally good."""

    def same(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """bool [N], which answers are the same; of answers of several parts float [N], how much of
        them."""

    def chosen(
        self, outputs: np.ndarray, targets: np.ndarray, examples: Examples
    ) -> dict[str, Any] | None:
        """What is chosen for a model by what it gives for the validation examples, such as the
        scores from which something counts; None: nothing is. ``measure`` gets it, and metrics.json
        has it of the file that ships, in ``chosen``."""

    def divergence(self, reference: np.ndarray, outputs: np.ndarray) -> float:
        """How far outputs are from a reference, mean; 0 when they are equal."""

    def corruptions(
        self, examples: Examples
    ) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
        """Ways to make one of these examples harder, by name: of (input, seed)."""

    def worst(
        self, outputs: np.ndarray, examples: Examples, rows: Sequence[int], count: int, ask: Ask
    ) -> list[dict[str, Any]]:
        """The worst wrong answers, the worst first, ready for JSON. ``ask`` is the model itself,
        for what explains them."""

    def warnings(self, evaluation: Evaluation) -> list[str]:
        """What else a reader of the evaluation must know."""

    def proposals(self, examples: Examples, finetune: Finetune) -> list[str]:
        """Keys to change, by what there is to learn from."""

    def answers(self, evaluation: Evaluation, examples: Examples | None) -> list[Part]:
        """The report's sections on how good the model is. ``examples`` are those of the run, to
        show some; None: they are not at hand."""

    def data(self, index: Path, audit: Path | None, examples: Examples | None) -> list[Block]:
        """The report's section on the examples, from what ``scan`` has written; ``examples`` as in
        ``answers``. ArtifactError."""

    def net_text(self, base: Base) -> str:
        """Which net it is, and how large its input, in a line of Markdown."""
