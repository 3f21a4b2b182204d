"""One training loop for every stage: the head, the top blocks, pruning, QAT."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from tfedge.errors import StageError
from tfedge.files.progress import Progress
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.training.schedules import Rate, optimizer
from tfedge.pipeline.schema import Training

Loss = Callable[[Any, Any, Any], Any]  # of outputs, what is wanted, weights
Batch = tuple[Any, Any, np.ndarray]  # inputs [B, …] float32, what is wanted, weights [B]
Rows = list[dict[str, Any]]  # of a training: one for each epoch


class Batches(Protocol):
    """What to train on. Every batch has the same shape, so that the step compiles once."""

    steps: int  # batches an epoch
    size: int  # examples a batch

    def epoch(self, number: int) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class LearningTargets:
    """What the model should say of each item.

    ``targets`` [items, …] float32. ``features`` [items, F] float16, or None, are what a teacher's
    last layer before the head says, at a mean square of 1. ``soft`` [items, …] float32, or None,
    are a teacher's outputs as targets. Items come as (targets, soft, features), without what is
    None.
    """

    targets: np.ndarray
    features: np.ndarray | None = None
    soft: np.ndarray | None = None

    def __getitem__(self, items: np.ndarray) -> tuple[np.ndarray, ...]:
        found = [self.targets[items]]
        if self.soft is not None:
            found.append(self.soft[items])
        if self.features is not None:
            found.append(self.features[items].astype(np.float32))
        return tuple(found)


class Memory:
    """Batches from arrays that are gathered by row, such as a memory map of cached activations.

    ``gather(items)`` gives the inputs of items [B]; ``choose(rng)`` gives, for one epoch, the item
    of each training example (its original or one of its augmented views). The last batch is filled
    up from the beginning of the epoch's order.
    """

    def __init__(
        self,
        gather: Callable[[np.ndarray], np.ndarray],
        choose: Callable[[np.random.Generator], np.ndarray],
        wanted: LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        seed: int,
    ) -> None:
        """``wanted`` and ``weights`` [items] float32 are looked up by item."""
        self._gather, self._choose = gather, choose
        self._wanted, self._weights = wanted, weights
        self._seed = seed
        self._count = len(choose(np.random.default_rng(seed)))
        self.size = min(batch_size, self._count)
        self.steps = math.ceil(self._count / self.size)

    def epoch(self, number: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, number])
        items = rng.permutation(self._choose(rng))
        items = np.resize(items, self.steps * self.size)  # repeats from the beginning
        for first in range(0, len(items), self.size):
            batch = items[first : first + self.size]
            yield self._gather(batch), self._wanted[batch], self._weights[batch]


def hinted(share: float, scale: float, plain: Loss) -> Loss:
    """``plain``, of the logits, plus ``share`` of how far the features are from the teacher's.

    For outputs (features, logits) and what is wanted of both, the features last. The distance is
    the mean square once ``scale`` has brought the features to the teacher's mean square of 1, as
    its own already are, so that ``share`` means the same for any backbone (Romero et al. 2015,
    "FitNets": hints from a teacher's inner layer). With few examples and few steps a thousand
    features say more than a handful of outputs.
    """

    def loss(outputs: Any, wanted: Any, weights: Any) -> Any:
        features, logits = outputs
        distance = tf.reduce_mean(tf.square(features * scale - wanted[-1]), axis=-1)
        return plain(logits, wanted[:-1], weights) + share * tf.reduce_mean(distance * weights)

    return loss


def train(
    model: Any,
    batches: Batches,
    training: Training,
    *,
    steps: int,
    learning_rate: float,
    what: str,
    progress: Progress,
    loss: Loss,
    before_step: Callable[[int], None] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    patience: int | None = None,
    from_start: bool = False,
    record: Callable[[int, dict[str, float]], None] | None = None,
) -> Rows:
    """Train a model's trainable variables.

    Args:
        steps: in all; the last epoch may be cut short.
        loss: what is made small.
        before_step: called with the number of each step.
        validate: gives ``val_loss`` and more after each epoch. The weights (and batch norm's
            statistics) of the epoch with the lowest one are put back at the end; ``patience``
            epochs without a lower one stop it.
        from_start: the state before training counts as epoch 0, which stays if no other is better.
        record: called with the epoch and its figures (TensorBoard).

    Returns:
        One row an epoch: ``epoch``, ``loss``, ``learning_rate`` and what ``validate`` gives.

    Raises:
        StageError: a loss, of training or validation, or a weight is no longer a number.
    """
    variables = list(model.trainable_variables)
    rule = optimizer(training)
    rule.build(variables)
    rate = Rate(training, learning_rate, steps)
    epochs = math.ceil(steps / batches.steps)

    @tf.function(autograph=False)  # there is nothing to convert, and looking takes seconds
    def step(inputs: Any, wanted: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(model(inputs, training=True), wanted, weights)
        rule.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    history: Rows = []
    best: tuple[float, int, list[np.ndarray]] | None = None
    number = 0
    if validate and from_start:
        history.append({"epoch": 0, "loss": None, "learning_rate": 0.0, **validate()})
        _finite(history[0]["val_loss"], what, 0, "validation loss")
        best = history[0]["val_loss"], 0, [v.numpy() for v in model.weights]
    for epoch in range(1, epochs + 1):
        sums = []
        for inputs, wanted, weights in islice(batches.epoch(epoch), steps - number):
            rule.learning_rate.assign(rate.at(number))
            if before_step:
                before_step(number)
            sums.append(step(inputs, wanted, weights))
            number += 1
            done = (number % batches.steps or batches.steps) * batches.size
            whole = min(batches.steps, steps - number + done // batches.size) * batches.size
            progress.update(f"{what}, epoch {epoch}/{epochs}", done, whole, "examples")
        mean = float(np.mean([float(value) for value in sums]))
        _finite(mean, what, epoch)
        row = {"epoch": epoch, "loss": mean, "learning_rate": rate.at(number - 1)}
        if validate:
            row |= validate()
            _finite(row["val_loss"], what, epoch, "validation loss")
        history.append(row)
        if record:
            record(epoch, row)
        rate.epoch_ended(row.get("val_loss", mean))
        if validate and (best is None or row["val_loss"] < best[0]):
            best = row["val_loss"], epoch, [v.numpy() for v in model.weights]
        if best and patience and epoch - best[1] >= patience:
            break
    if best:
        keras.backend.batch_set_value(list(zip(model.weights, best[2], strict=True)))
    else:  # nobody has seen what the last step did: a step gives the loss from before it
        after = loss(model(inputs, training=False), wanted, weights)
        _finite(float(after), what, epochs)
        for variable in variables:  # an 8-bit layer clips infinity to its range: no loss shows it
            largest = float(np.abs(variable.numpy()).max())
            _finite(largest, what, epochs, f"largest weight of {variable.name}")
    return history


def _finite(value: float, what: str, epoch: int, name: str = "loss") -> None:
    if not math.isfinite(value):
        raise StageError(
            f"{what}: the {name} is {value} in epoch {epoch}", "lower the learning rate"
        )
