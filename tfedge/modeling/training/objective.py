"""What a head learns, and how far it has come: what training asks of a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfedge.modeling.training.features import Item
from tfedge.modeling.training.loop import Loss
from tfedge.modeling.training.rows import Rows
from tfedge.pipeline.schema import Training, Transfer


class Score(NamedTuple):
    """Of outputs against the truth: the mean loss, and the task's primary metric."""

    loss: float
    primary: float


class Dense(NamedTuple):
    """A fitted dense layer on raw features: ``kernel`` [F, units] and ``bias`` [units] float32;
    ``c`` is the inverse strength of its penalty, ``trials`` what others and this one gave."""

    kernel: np.ndarray
    bias: np.ndarray
    c: float
    trials: list[dict[str, float]]


class Objective(Protocol):
    """Of a head.

    ``rows`` are examples' row numbers, one for each item (an example or a changed view of it);
    ``outputs`` what the last layer gives for them, before ``serve``; of several outputs, side by
    side.
    """

    units: int  # of the last layer
    figure: str  # the primary metric's name in a row of training's history
    of_views: bool  # targets differ between the views of an example

    def targets(self, items: Sequence[Item], settings: Training) -> Rows:
        """float32 [n, …] what a loss compares outputs with."""

    def weights(self, rows: Sequence[int], settings: Training) -> np.ndarray:
        """float32 [n], how much each counts in the loss."""

    def loss(self) -> Loss: ...

    def softened(self, targets: np.ndarray, outputs: np.ndarray, share: float) -> np.ndarray:
        """Targets of which ``share`` is a teacher's outputs."""

    def distilled(self, share: float, temperature: float) -> Loss:
        """The loss against targets and, for ``share`` of it, against those of ``taught``."""

    def taught(self, outputs: np.ndarray, temperature: float) -> np.ndarray:
        """A teacher's outputs as what ``distilled`` learns from."""

    def score(self, outputs: np.ndarray, rows: Sequence[int]) -> Score: ...

    def serve(self, outputs: Any) -> Any:
        """The shipped model's outputs, of those of the network: a tensor [n, units], or a list of
        several, which are given by the names that the file has for them."""

    def served(self, outputs: np.ndarray) -> np.ndarray:
        """The same of an array."""

    def fit(
        self,
        features: Rows,
        rows: Sequence[int],
        groups: np.ndarray,
        settings: Transfer,
        seed: int,
        report: Callable[[int, int], None],
        scratch: Path,
    ) -> Dense:
        """The best head on frozen features [n, F], where it can be found without training.

        ``groups`` [n] int: items of one example, which count together. ``scratch`` is a folder for
        what is too large to be held in memory."""
