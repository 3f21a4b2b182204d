"""What a head that gives a number learns: least squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.modeling.nets.env import tf
from tfedge.modeling.training.loop import Loss
from tfedge.modeling.training.objective import Dense, Score
from tfedge.modeling.training.rows import Rows
from tfedge.modeling.vision import ImageExamples, VisionHead
from tfedge.pipeline.schema import Training, Transfer
from tfedge.tasks.task import Examples

_RIDGE = 1e-2  # of the mean square of the features


def squares(outputs: Any, wanted: Any, weights: Any) -> Any:
    """Mean weighted square of what is missing to ``wanted[0]`` [B, 1]."""
    return tf.reduce_mean(tf.square(outputs - wanted[0])[:, 0] * weights)


class Number:
    """Outputs [n, 1] are the number itself."""

    units, figure, of_views = 1, "mae", False

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def targets(self, items: Sequence[tuple[int, int]], settings: Training) -> np.ndarray:
        return self._examples.targets([row for row, _ in items])

    def weights(self, rows: Sequence[int], settings: Training) -> np.ndarray:
        return np.ones(len(rows), np.float32)

    def loss(self) -> Loss:
        return squares

    def softened(self, targets: np.ndarray, outputs: np.ndarray, share: float) -> np.ndarray:
        return ((1 - share) * targets + share * outputs).astype(np.float32)

    def distilled(self, share: float, temperature: float) -> Loss:
        def loss(outputs: Any, wanted: Any, weights: Any) -> Any:
            hard, soft = (squares(outputs, (one,), weights) for one in wanted[:2])
            return (1 - share) * hard + share * soft

        return loss

    def taught(self, outputs: np.ndarray, temperature: float) -> np.ndarray:
        return outputs

    def score(self, outputs: np.ndarray, rows: Sequence[int]) -> Score:
        missing = outputs - self._examples.targets(rows)
        return Score(float(np.square(missing).mean()), float(np.abs(missing).mean()))

    def serve(self, outputs: Any) -> Any:
        return tf.identity(outputs)

    def served(self, outputs: np.ndarray) -> np.ndarray:
        return outputs

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
        """Ridge regression."""
        wanted = self._examples.targets(rows)
        values = features[np.arange(len(features))]
        mean, middle = values.mean(0, dtype=np.float64), float(wanted.mean())
        centred = values - mean
        ridge = _RIDGE * float(np.square(centred).sum(1).mean())
        square = centred.T @ centred + ridge * np.eye(centred.shape[1])
        kernel = np.linalg.solve(square, centred.T @ (wanted - middle))
        bias = middle - mean @ kernel
        trials = [{"ridge": ridge}]
        return Dense(kernel.astype(np.float32), bias.astype(np.float32), ridge, trials)


class NumberHead(VisionHead):
    def objective_of(self, examples: ImageExamples) -> Number:
        return Number(examples)
