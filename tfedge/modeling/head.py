"""A network as stages train and convert it, whatever it takes.

A kind of input (``vision.py``, ``texts.py``) says how a base becomes a network and a network a
file; a task says what the head learns, and what its outputs are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from tfedge.catalog.backbones import Block
from tfedge.core.outputs import Base, History
from tfedge.files.progress import Progress
from tfedge.modeling.nets import network
from tfedge.modeling.nets.backbone import Weights
from tfedge.modeling.nets.export import Frozen
from tfedge.modeling.training import loop, transfer
from tfedge.modeling.training.objective import Objective
from tfedge.modeling.training.part import Samples
from tfedge.pipeline.schema import Distill, Net, Pipeline, Transfer
from tfedge.tasks.task import Material, Work
from tfedge.tflite.model import Model

if TYPE_CHECKING:
    from tfedge.modeling.compression.calibration import Calibrated


@dataclass(frozen=True)
class TeacherOutputs:
    """What another backbone says of every item: ``outputs`` [items, units]; the net, and its
    training."""

    outputs: np.ndarray
    base: Base
    history: History


class Learned(Protocol):
    """How training went, and what the model says."""

    @property
    def history(self) -> History: ...

    def said(self, model: Any, count: int, path: Path) -> dict[str, np.ndarray]:
        """Of the first ``count`` items, for later stages to learn from: see ``part.Teacher``. What
        the head reads goes to ``path``, an ``.npy``, if it reads features."""


@dataclass(frozen=True)
class Lesson:
    """What a head and the blocks below it start from; see ``transfer.learn``."""

    random: bool
    first: int | None
    lowest: int | None
    head_known: bool = False
    record: Callable[[str], loop.Record | None] = lambda what: None
    headed: Callable[[Any], None] = lambda model: None


class NetworkHead:
    """A network from what one example is to ``objective.serve`` of its head's outputs.

    ``samples`` are what it learns from, ``work`` says how good its outputs are.
    """

    samples: Samples
    work: Work
    material: Material
    blocks: tuple[Block, ...]  # of the backbone, from the input up
    macs: float  # multiply-adds of one inference, about
    # The converter's own calibration (ptq without quantize.correct) can't do this kind of network.
    always_ranged: ClassVar[bool] = False
    # Training examples for which a quantized file must answer as its network; 0: none is compared.
    compared: ClassVar[int] = 0
    # The head's kernels that can be pruned and clustered, by layer, and their kinds.
    kernels: Mapping[str, str] = {network.HEAD: "dense"}

    def __init__(self, material: Material, base: Base) -> None:
        raise NotImplementedError

    @staticmethod
    def base(pipeline: Pipeline, cache: Path, progress: Progress) -> tuple[Weights, Base]:
        """The pretrained weights of a pipeline's ``backbone``, and what they are."""
        raise NotImplementedError

    @property
    def objective(self) -> Objective:
        return self.samples.objective

    @property
    def units(self) -> tuple[str, ...]:
        """What the units of the head are called; empty where they have no names."""
        return ()

    def keeps_order(self, units: Sequence[str]) -> str:
        """The end of a sentence: which key gives the head's units this order."""
        return ""

    def headless(self, base: Weights, random: bool) -> Any:
        """The network on a base, its head untrained. A ``random`` base is told what examples look
        like where it has batch norms."""
        raise NotImplementedError

    def weights_of(self, model: Any) -> Weights:
        """All weights of the network, and beside them what a later run must know of them."""
        raise NotImplementedError

    def learn(self, model: Any, settings: Transfer, lesson: Lesson) -> Learned:
        """Make the head, then train the blocks from ``lesson.first`` up; see ``transfer.learn``."""
        return transfer.learn(
            self.samples,
            self.blocks,
            model,
            settings,
            random=lesson.random,
            first=lesson.first,
            lowest=lesson.lowest,
            metric=self.material.task.primary,
            head_known=lesson.head_known,
            record=lesson.record,
            headed=lesson.headed,
        )

    def teach(
        self, model: Any, base: Base, settings: Transfer, *, random: bool, first: int | None
    ) -> TeacherOutputs:
        """Make a teacher of the network, as ``learn`` trains, and ask it about every item."""
        learned = transfer.learn(
            self.samples,
            self.blocks,
            model,
            settings,
            random=random,
            first=first,
            lowest=first,
            metric=self.material.task.primary,
            whose="teacher's ",
        )
        outputs = learned.logits(model, len(self.samples.items))
        return TeacherOutputs(outputs, base, learned.history)

    def load(self, weights: Weights) -> Any:
        """The network with all its weights."""
        raise NotImplementedError

    def load_for_int8(self, weights: Weights) -> Any:
        """The same, changed where 8 bits need it."""
        return self.load(weights)

    def boundary(self, first: int | None) -> str:
        """The layer below which nothing trains; see ``network.boundary``."""
        return network.boundary(self.blocks, first)

    def float_file(self, model: Any, *, sparse: bool = False, int8_weights: bool = False) -> bytes:
        """The float .tflite that can ship. ``sparse``: kernels stored sparse; ``int8_weights``: in
        8 bits."""
        raise NotImplementedError

    def graph(self, model: Any) -> Frozen:
        """The frozen graph from what the shipped model takes, in float where that is quantized, to
        what it gives."""
        raise NotImplementedError

    def part_graph(self, part: Any) -> Frozen:
        """The frozen graph of a network's lower part, from the same inputs."""
        raise NotImplementedError

    def calibrated(
        self,
        model: Any,
        rows: Sequence[int],
        checked: Sequence[int],
        *,
        preserve_zeros: bool,
        clustered: Collection[str],
        whole: bool,
        report: Callable[[int, int], None],
    ) -> Calibrated:
        """The network wrapped for 8 bits, with ranges and corrections from the examples of
        ``rows``, held against the float one on those of ``checked``. ``whole``: no layer is kept
        above 8 bits."""
        raise NotImplementedError

    def ranged(
        self,
        model: Any,
        rows: Sequence[int],
        *,
        preserve_zeros: bool,
        clustered: Collection[str],
    ) -> Any:
        """The network wrapped for 8 bits, with the ranges of these examples."""
        raise NotImplementedError

    def representative(self, rows: Sequence[int]) -> Callable[[], Iterator[list[np.ndarray]]]:
        """Training examples for the converter's calibration, [1, …] one by one."""
        raise NotImplementedError

    @staticmethod
    def check_input(model: Model) -> None:
        """InvariantBroken unless the file takes raw inputs, one at a time."""
        raise NotImplementedError

    @classmethod
    def taught(cls, given: Material, teacher: Net, settings: Distill) -> TeacherOutputs:
        """Another backbone with a head of its own, learnt from the same examples and views."""
        raise NotImplementedError
