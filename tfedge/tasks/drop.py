"""What a drop is made of and what a task adds to it. Neither numpy nor TensorFlow is imported.

A drop is made for a target (linux, android, coral): ``tfedge.drops`` has what holds for any task,
the task's ``Work`` has the labels, scripts and texts that say what its model takes and gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tfedge.data.kind import Kind
from tfedge.tasks.blocks import Block

if TYPE_CHECKING:
    import numpy as np

    from tfedge.benchmark.result import Result
    from tfedge.core.outputs import Base, Distillation, Evaluation, ModelMetrics
    from tfedge.pipeline.schema import Package
    from tfedge.tasks.task import Examples, Task
    from tfedge.tflite.runtime import Items as Inputs


GOLDEN = "golden"  # the folder of a drop's golden pairs


def golden_file(number: int, what: str) -> str:
    """A pair's file, relative to the drop; ``what`` ends its name, such as ``input.bin``."""
    return f"{GOLDEN}/{number:03d}.{what}"


@dataclass(frozen=True)
class Pair:
    """A golden pair: one example and what the shipped model made of it.

    ``input`` and ``output`` are as the model takes and stores them, in its own dtypes, without the
    batch of one. ``facts`` are what the manifest says of the example, ready for JSON.
    """

    input: np.ndarray
    output: np.ndarray
    facts: Mapping[str, Any]


class Tried(NamedTuple):
    """How many inputs were asked of other kernels too, and how many of them have the same answer
    there by the golden rule."""

    inputs: int
    steady: int


@dataclass(frozen=True)
class Chosen:
    """Golden inputs that a task has chosen: [n, …] as the model takes them, what the manifest says
    of each, in a sentence what they are, and out of how many they were chosen (None: they were
    taken as they are)."""

    inputs: np.ndarray
    facts: Sequence[Mapping[str, Any]]
    told: str
    tried: Tried | None = None


class Asked(Protocol):
    """The model of a drop, which is asked while its golden inputs are chosen."""

    def outputs(self, inputs: Inputs) -> np.ndarray:
        """Its real-valued outputs [n, …]."""

    def steady(self, inputs: np.ndarray) -> np.ndarray:
        """bool [n]: whether other kernels than those of this machine's runtime, too, give answers
        that are the same by the task's golden rule."""


@dataclass(frozen=True)
class Content:
    """Everything a drop is made of, whatever its target. The mappings are ready for JSON.

    ``given`` and ``taken`` say how the model is fed and read (see ``DropWork.contract``), ``facts``
    are keys of the manifest that only this task has.
    """

    task: Task
    name: str
    model: bytes
    given: Mapping[str, Any]
    taken: Mapping[str, Any]
    facts: Mapping[str, Any]
    golden: tuple[Pair, ...]
    golden_from: str  # "synthetic", "public" or "held_out"
    golden_told: str  # the same in a sentence, without its full stop
    golden_tried: Tried | None  # out of how many they were chosen; None: taken as they are
    data: Mapping[str, Any]  # source, digest, counts
    backbone: Base
    # The prune and quantize sections, None where left out; "distill" and "cluster" where they ran.
    recipe: Mapping[str, Any]
    sparsity: float | None  # share of zeros among the prunable weights
    package: Package
    run_key: str = ""
    teacher: Distillation | None = None
    metrics: Evaluation | None = None
    benchmark: Sequence[Result] = ()
    beside: Mapping[str, bytes] = field(default_factory=dict)  # of the task's, see ``beside``


@dataclass(frozen=True)
class Metadata:
    """TFLite metadata as far as a task knows it, in the form of ``tfedge.tflite.metadata``.

    ``description`` is for a model whose owner gave none. ``inputs`` and ``outputs`` are one
    TensorMetadata for each of the model's tensors, in the file's order, ``units`` the ProcessUnits
    of all inputs together; ``files`` are those that it names, by name, and ``custom`` is what a
    reader has a format of its own for, by the name by which it is found.
    """

    description: str
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Any]]
    files: Mapping[str, bytes] = field(default_factory=dict)
    units: Sequence[Mapping[str, Any]] = ()
    custom: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What a task adds to a drop for one target.

    ``files`` are by path relative to the drop. ``check`` is the script among them, with its
    arguments, that replays the golden pairs on this machine and ends with 0 when they hold; empty
    where no such script is. ``requirements`` are lines for requirements.txt that come before those
    of the interpreter. ``metadata`` goes into the model of a target that has it.
    """

    files: Mapping[str, bytes]
    check: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    metadata: Metadata | None = None


@dataclass(frozen=True)
class Card:
    """What a task says in a drop's model card.

    ``use`` is a paragraph on what the model is for, ``given`` and ``taken`` complete "in: …" and
    "out: …". ``data`` and ``metrics`` are the blocks of these sections, ``limits`` a list. All but
    the blocks' cells is Markdown.
    """

    use: str
    given: str
    taken: str
    data: Sequence[Block]
    metrics: Sequence[Block]  # empty for a model that was not evaluated
    limits: Sequence[str]


@dataclass(frozen=True)
class Check:
    """One thing in a drop that was looked at. ``problems`` is empty when it holds."""

    what: str
    found: str
    problems: tuple[str, ...] = ()


# How real-valued outputs of a golden pair differ from the expected ones by more than machines may;
# "" if they do not: of (number of the pair, expected, got).
Differing = Callable[[int, "np.ndarray", "np.ndarray"], str]


class Unreadable(Exception):
    """Why something can't become an input of a model; its name stands elsewhere."""


@dataclass(frozen=True)
class Answer:
    """What a model says of one example: ``facts`` are ready for JSON, ``lines`` are for people."""

    facts: Mapping[str, Any]
    lines: Sequence[str]


class Drawing(NamedTuple):
    """Draws what a model says of an input into a copy of it: ``drawn`` of a file's bytes and the
    real-valued outputs gives the bytes of one whose name ends in ``suffix``, or raises Unreadable.
    """

    suffix: str
    drawn: Callable[[bytes, np.ndarray], bytes]


class Reader(Protocol):
    """Reads what a shipped model is asked, and its answers.

    ``kind`` is of the files, each of at most ``largest`` bytes. ``typed`` reads what is given as
    text, as ``content`` reads a file; None for what can't be typed. Inputs are without the batch of
    one.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def largest(self) -> int: ...

    @property
    def typed(self) -> Callable[[str], np.ndarray] | None: ...

    def content(self, content: bytes, name: str) -> np.ndarray:
        """A file's bytes as the model takes them. Unreadable."""

    def answer(self, output: np.ndarray, top: int) -> Answer:
        """Real-valued outputs of one example; ``top``: how many answers of several are told."""

    def drawing(self) -> Drawing | None:
        """None where answers have no place on an input. ConfigError where it is not known what of
        them would be drawn."""

    def truth(self, labels: Sequence[str]) -> np.ndarray:
        """[N, …] what is true of examples with these labels, each as a listing has it (see
        ``data.listing.Entry``). DataError names what is none of the model's classes."""

    def measure(self, outputs: np.ndarray, targets: np.ndarray, evaluate: Any) -> ModelMetrics:
        """The metrics of the model, from real-valued outputs [N, …] for N examples, what is true of
        them, and the task's ``evaluate`` keys. InvariantBroken for outputs that are none."""

    def laid_out(self, files: Sequence[Path], labels: Sequence[str], folder: Path) -> None:
        """Write what is true of these files, which lie in a folder under their names, into it: as
        the device script reads it for ``--accuracy``. Asked where examples are not simply a folder
        for each class (see ``data.kind.Kind.listed``)."""

    def told(self, metrics: Any) -> list[Block]:
        """What a report says of what ``measure`` gives: each class, and what is confused."""


@dataclass(frozen=True)
class Told:
    """What a user says of a .tflite that lies in no drop and no run; None: nothing. ``otherwise``
    are labels that are taken where nobody else says them."""

    labels: Sequence[str] | None = None
    fit: str | None = None
    otherwise: Sequence[str] | None = None


class DropWork(Protocol):
    """The part of ``Work`` that drops ask."""

    def reader(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> Reader:
        """What reads for a model of this contract: ``input`` and ``output`` as ``contract`` gives
        them and the keys of ``drop_facts``. ``file`` opens what the contract names.

        May raise what a broken contract leads to: LookupError, TypeError, ValueError."""

    def recognises(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a model with this TFLite metadata is one of this task's."""

    def alone(self, model: bytes, told: Told) -> dict[str, Any]:
        """The contract of a .tflite by itself, for ``reader``, by what it and its user say.

        ConfigError names what neither says, UnsupportedModel what the model takes or gives."""

    def contract(
        self, model: bytes, examples: Examples
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """How a .tflite is fed and read, ready for JSON.

        The first has at least ``dtype`` and ``shape``, the second ``scale`` (None for floats) and
        ``zero_point``, too. DropError when the model is none of this task's."""

    def beside(self, examples: Examples) -> dict[str, bytes]:
        """Files, by name, that ``parts`` puts into drops and that only the examples have."""

    def drop_facts(self, examples: Examples) -> dict[str, Any]:
        """Keys of the manifest that only this task has. DropError when no drop can hold them."""

    def synthetic(
        self, examples: Examples, given: Mapping[str, Any], asked: Asked, count: int
    ) -> Chosen:
        """Golden inputs that are made, from nothing that is anybody's, chosen by what the model
        says of them. ``examples`` say what it tells apart, and none of them is opened; ``given`` is
        of ``contract``. The same for the same model."""

    def public(
        self,
        files: Sequence[Path],
        examples: Examples,
        given: Mapping[str, Any],
        asked: Asked,
        count: int,
    ) -> Chosen:
        """Golden inputs from files that their owner calls public; none of their names is told.

        DataError with all that is wrong with them."""

    def held_out(self, examples: Examples, rows: Sequence[int], count: int) -> Chosen:
        """Golden inputs from among the owner's own examples, of these rows."""

    def difference(self, expected: np.ndarray, got: np.ndarray) -> str:
        """How two real-valued outputs of one example differ by more than machines may; "" if they
        do not: by which golden inputs are chosen."""

    def agreement(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> Differing:
        """The golden rule of a drop with this manifest: of outputs, and of what its scripts make
        of them. ``file`` opens what the manifest names.

        May raise what broken manifests and files lead to: LookupError, TypeError, ValueError."""

    def for_target(self, target: str, content: Content, examples: Examples) -> Content:
        """The same as what reads a drop for ``target`` wants it: as it is, or another file that
        computes the same, with golden pairs and a manifest that fit it. DropError."""

    def parts(self, target: str, content: Content, told: Mapping[str, str]) -> Parts:
        """What goes into a drop for ``target``, one of ``Task.drops``.

        ``told`` is what the target knows and the task's texts may say, by the names of their marks:
        ``model``, the model's file name, is always among it. DropError when this model can't be
        used there."""

    def card(self, content: Content) -> Card:
        """What the model card says of this model."""

    def check_drop(self, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
        """What in a drop's folder is this task's, held against its manifest.

        May raise what broken manifests and files lead to: LookupError, TypeError, ValueError,
        AttributeError, OSError, ArtifactError."""
