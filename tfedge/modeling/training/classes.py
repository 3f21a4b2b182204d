"""Learning to tell classes apart, whatever the examples are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.modeling.nets.env import tf
from tfedge.modeling.training import logistic
from tfedge.modeling.training.features import Item
from tfedge.modeling.training.loop import Loss
from tfedge.modeling.training.objective import Dense, Score
from tfedge.modeling.training.rows import Rows
from tfedge.pipeline.schema import Training, Transfer
from tfedge.tasks.task import Examples


class Classes:
    """Outputs are logits [n, classes], served as softmax scores; targets numbers of classes."""

    figure = "accuracy"
    of_views = False

    def __init__(self, examples: Examples, classes: int, *, scaled: bool = False) -> None:
        """``scaled``: how a head is fitted, see ``logistic``."""
        self._examples, self.units, self._scaled = examples, classes, scaled

    def targets(self, items: Sequence[Item], settings: Training) -> np.ndarray:
        """float32 [n, classes], they sum to 1."""
        labels = self._labels([row for row, _ in items])
        return one_hot(labels, self.units, settings.label_smoothing)

    def weights(self, rows: Sequence[int], settings: Training) -> np.ndarray:
        return class_weights(settings, self._labels(rows), self.units)

    def loss(self) -> Loss:
        return cross_entropy

    def softened(self, targets: np.ndarray, outputs: np.ndarray, share: float) -> np.ndarray:
        return mix(targets, outputs, share)

    def distilled(self, share: float, temperature: float) -> Loss:
        return distilled(share, temperature)

    def taught(self, outputs: np.ndarray, temperature: float) -> np.ndarray:
        return softened(outputs, temperature)

    def score(self, outputs: np.ndarray, rows: Sequence[int]) -> Score:
        """Mean cross-entropy, and top-1."""
        return score(outputs, self._labels(rows))

    def serve(self, outputs: Any) -> Any:
        return tf.nn.softmax(outputs)

    def served(self, outputs: np.ndarray) -> np.ndarray:
        return softened(outputs, 1.0)

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
        """Logistic regression that has converged, its penalty chosen on folds."""
        fitted = logistic.fit(
            features,
            self._labels(rows),
            self.units,
            weights=self.weights(rows, settings),
            groups=groups,
            scaled=self._scaled,
            seed=seed,
            report=report,
            scratch=scratch,
        )
        return Dense(fitted.kernel, fitted.bias, fitted.c, fitted.trials)

    def _labels(self, rows: Sequence[int]) -> np.ndarray:
        return self._examples.targets(rows)


def score(logits: np.ndarray, labels: Sequence[int] | np.ndarray) -> Score:
    """Mean cross-entropy and top-1 of logits [n, classes]."""
    wanted = np.asarray(labels)
    shifted = logits - logits.max(-1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return Score(
        float(-log[np.arange(len(wanted)), wanted].mean()),
        float((logits.argmax(-1) == wanted).mean()),
    )


def one_hot(labels: Sequence[int] | np.ndarray, classes: int, smoothing: float = 0.0) -> np.ndarray:
    """One-hot float32 [n, classes]; label smoothing as in Szegedy et al. 2016."""
    hard = np.eye(classes, dtype=np.float32)[np.asarray(labels)]
    return hard * np.float32(1 - smoothing) + np.float32(smoothing / classes)


def mix(hard: np.ndarray, logits: np.ndarray, share: float) -> np.ndarray:
    """Targets softened by a teacher's logits at temperature 1 (Hinton et al. 2015).

    Cross-entropy is linear in its targets, so ``(1 − share)`` of the labels' loss plus ``share`` of
    the teacher's is the loss against the mixed targets.
    """
    return ((1 - share) * hard + share * softened(logits, 1.0)).astype(np.float32)


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Scores [n, classes] of logits at a temperature; they sum to 1."""
    logits = logits / temperature
    soft = np.exp(logits - logits.max(-1, keepdims=True))
    soft /= soft.sum(-1, keepdims=True)
    return soft


def class_weights(
    training: Training, labels: Sequence[int] | np.ndarray, classes: int
) -> np.ndarray:
    """A weight for each label [n]; ``balanced`` makes every class count the same in the sum."""
    numbers = np.asarray(labels)
    if training.class_weights == "none":
        return np.ones(len(numbers), np.float32)
    counts = np.maximum(np.bincount(numbers, minlength=classes), 1)
    return (len(numbers) / (classes * counts))[numbers].astype(np.float32)


def cross_entropy(outputs: Any, wanted: Any, weights: Any) -> Any:
    """Mean weighted cross-entropy of logits [B, classes] against ``wanted[0]``, soft targets."""
    losses = tf.nn.softmax_cross_entropy_with_logits(labels=wanted[0], logits=outputs)
    return tf.reduce_mean(losses * weights)


def distilled(share: float, temperature: float) -> Loss:
    """Knowledge distillation (Hinton et al. 2015) of logits [B, classes].

    ``(1 − share)`` of the cross-entropy against ``wanted[0]`` plus ``share · T²`` of KL(teacher ‖
    student), both at the temperature T: ``wanted[1]`` are the teacher's scores at T. Soft targets
    give gradients that shrink with 1/T²; the factor keeps ``share`` what it says at any T. At 1 the
    gradient is that of ``mix``.
    """

    def loss(outputs: Any, wanted: Any, weights: Any) -> Any:
        hard = tf.nn.softmax_cross_entropy_with_logits(labels=wanted[0], logits=outputs)
        soft = wanted[1]
        cross = tf.nn.softmax_cross_entropy_with_logits(labels=soft, logits=outputs / temperature)
        entropy = -tf.reduce_sum(tf.math.xlogy(soft, soft), axis=-1)
        far = temperature**2 * (cross - entropy)
        return tf.reduce_mean(((1 - share) * hard + share * far) * weights)

    return loss
