"""One training loop for every stage: the head, the top blocks, pruning, QAT."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from tfedge.errors import StageError
from tfedge.files.progress import Progress
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.ports import run
from tfedge.modeling.training.rows import Rows as ByRow
from tfedge.modeling.training.schedules import Rate, optimizer
from tfedge.pipeline.schema import Training

Gather = Callable[[np.ndarray], np.ndarray]  # positions [n] → what stands there [n, …]
Loss = Callable[[Any, Any, Any], Any]  # of outputs, what is wanted, weights
Batch = tuple[Any, Any, np.ndarray]  # inputs [B, …] float32, what is wanted, weights [B]
Rows = list[dict[str, Any]]  # of a training: one for each epoch
Record = Callable[[int, dict[str, float]], None]  # of an epoch and its figures

BLOWN_UP = 100.0  # times the loss that training began with
_LEAST = 0.1  # a loss below it counts as this much: of next to nothing a hundred times is little
_REMEDY = "lower the learning rate"


class BlownUp(StageError):
    """A loss, or a weight, that is no number any more, or a loss far above the first.

    ``rows`` are the epochs before, as far as they have figures.
    """

    def __init__(self, what: str, problem: str, rows: Rows) -> None:
        super().__init__(f"{what}: {problem}", _REMEDY)
        self.problem, self.rows = problem, rows


class Batches(Protocol):
    """What to train on. Every batch has the same shape, so that the step compiles once."""

    steps: int  # batches an epoch
    size: int  # examples a batch

    def epoch(self, number: int) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class LearningTargets:
    """What the model should say of each item.

    ``targets`` [items, …] float32, gathered by item. ``features`` [items, F] float16, or None, are
    what a teacher's last layer before the head says, at a mean square of 1. ``soft`` [items, …]
    float32, or None, are a teacher's outputs as targets. Items come as (targets, soft, features),
    without what is None.
    """

    targets: ByRow
    features: np.ndarray | None = None
    soft: np.ndarray | None = None

    def __getitem__(self, items: np.ndarray) -> tuple[np.ndarray, ...]:
        found = [self.targets[items]]
        if self.soft is not None:
            found.append(self.soft[items])
        if self.features is not None:
            found.append(self.features[items].astype(np.float32))
        return tuple(found)


class Noise:
    """Which training examples are shown with noise instead of as they are, now and then.

    What they teach stays the same, so that what a network gives for them becomes the same, too.
    """

    def __init__(self, gather: Gather, places: np.ndarray, share: float, seed: int) -> None:
        """``places`` [examples] int is where ``gather`` has an example with noise; −1: nowhere.
        ``share`` of all examples are shown so, or half of those that can be if these are few."""
        self._gather, self._places, self._seed = gather, places, seed
        can = np.count_nonzero(places >= 0)
        self._chance = min(max(share, 0.5), share * len(places) / can) if can else 0.0

    def shown(self, examples: np.ndarray, epoch: int) -> np.ndarray:
        """bool [n], for the examples that an epoch goes through, in their order."""
        chance = np.random.default_rng([self._seed, epoch, 1]).random(len(examples))
        found: np.ndarray = (chance < self._chance) & (self._places[examples] >= 0)
        return found

    def inputs(self, examples: np.ndarray) -> np.ndarray:
        """[n, …] of those that are shown."""
        return self._gather(self._places[examples])


class Memory:
    """Batches from arrays that are gathered by row, such as a memory map of cached activations.

    ``gather(items)`` gives the inputs of items [B]; ``choose(rng)`` gives, for one epoch, the item
    of each training example (its original or one of its augmented views): item ``i`` is of example
    ``i % n``. The last batch is filled up from the beginning of the epoch's order.
    """

    def __init__(
        self,
        gather: Gather,
        choose: Callable[[np.random.Generator], np.ndarray],
        wanted: LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        seed: int,
        noise: Noise | None = None,
        of_views: bool = False,
    ) -> None:
        """``wanted`` and ``weights`` [items] float32 are looked up by item. ``of_views``: what is
        wanted differs between the views of an example, and noise is shown on the example itself."""
        self._gather, self._choose, self._noise = gather, choose, noise
        self._of_views = of_views
        self._wanted, self._weights = wanted, weights
        self._seed = seed
        self._count = len(choose(np.random.default_rng(seed)))
        self.size = min(batch_size, self._count)
        self.steps = math.ceil(self._count / self.size)

    def epoch(self, number: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, number])
        items = rng.permutation(self._choose(rng))
        items = np.resize(items, self.steps * self.size)  # repeats from the beginning
        noisy = self._noisy(items, number)
        for first in range(0, len(items), self.size):
            batch, with_noise = (some[first : first + self.size] for some in (items, noisy))
            inputs = self._gather(batch)
            if self._noise is not None and with_noise.any():
                inputs[with_noise] = self._noise.inputs(batch[with_noise] % self._count)
                if self._of_views:
                    batch = np.where(with_noise, batch % self._count, batch)
            yield inputs, self._wanted[batch], self._weights[batch]

    def _noisy(self, items: np.ndarray, number: int) -> np.ndarray:
        """bool [n], which items of an epoch are shown with noise."""
        if self._noise is None:
            return np.zeros(len(items), bool)
        return self._noise.shown(items % self._count, number)


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


@dataclass(frozen=True)
class Course:
    """How a training went: a row for each epoch, and why it was stopped before its end, if it
    was."""

    rows: Rows
    stopped: str | None = None


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
    watch: Callable[[int], Mapping[str, float]] | None = None,
    patience: int | None = None,
    from_start: bool = False,
    record: Record | None = None,
    side_by_side: bool = True,
) -> Course:
    """Train a model's trainable variables.

    Args:
        steps: in all; the last epoch may be cut short.
        loss: what is made small.
        before_step: called with the number of each step.
        validate: gives ``val_loss`` and more after each epoch. The weights (and batch norm's
            statistics) of the epoch with the lowest one are put back at the end; ``patience``
            epochs without a lower one stop it.
        watch: called after each epoch with the number of steps so far; gives figures for its row,
            by which nothing is chosen here. It leaves the weights as they are.
        from_start: the state before training counts as epoch 0, which stays if no other is better.
        record: called with the epoch and its figures.
        side_by_side: a loss is of all outputs as one tensor; else of each on its own.

    Returns:
        One row an epoch: ``epoch``, ``loss``, ``learning_rate`` and what ``validate`` and ``watch``
        give. Where a loss blows up (see ``BlownUp``) training stops; with ``validate`` the best
        epoch before stays, if there is one.

    Raises:
        BlownUp: a loss, of training or validation, is no longer a number or a hundred times what it
            was at the start, or a weight is no number, and there is no state to go back to. That of
            validation may be as high while that of training falls.
    """
    variables = list(model.trainable_variables)
    rule = optimizer(training, variables)
    rate = Rate(training, learning_rate, steps)
    epochs = math.ceil(steps / batches.steps)

    def said(inputs: Any, training: bool) -> Any:
        ask = run if side_by_side else type(model).__call__
        return ask(model, inputs, training=training)

    @tf.function(autograph=False)  # there is nothing to convert, and looking takes seconds
    def step(inputs: Any, wanted: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(said(inputs, True), wanted, weights)
        rule.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    rows: Rows = []
    best: tuple[float, int, list[np.ndarray]] | None = None
    number, epoch = 0, 0
    first: dict[str, float] = {}  # losses at the start

    def hold(value: float, name: str = "loss") -> None:
        """Raises BlownUp for a loss that has."""
        start = first.setdefault(name, value)
        _finite(value, what, epoch, rows, name)
        if value > BLOWN_UP * max(start, _LEAST):
            problem = f"the {name} is {value:.4g} in epoch {epoch}, from {start:.4g} at the start"
            raise BlownUp(what, problem, rows)

    if validate and from_start:
        row: dict[str, Any] = {"epoch": 0, "loss": None, "learning_rate": 0.0, **validate()}
        hold(row["val_loss"], "validation loss")
        rows.append(row)
        best = row["val_loss"], 0, [v.numpy() for v in model.weights]
    stopped: str | None = None
    try:
        for epoch in range(1, epochs + 1):
            losses: list[float] = []
            for inputs, wanted, weights in islice(batches.epoch(epoch), steps - number):
                rule.learning_rate.assign(rate.at(number))
                if before_step:
                    before_step(number)
                losses.append(float(step(inputs, wanted, weights)))
                first.setdefault("loss", losses[0])
                _finite(losses[-1], what, epoch, rows)  # nothing that follows would be a number
                number += 1
                done = (number % batches.steps or batches.steps) * batches.size
                whole = min(batches.steps, steps - number + done // batches.size) * batches.size
                progress.loss(what, losses[-1])
                progress.update(f"{what}, epoch {epoch}/{epochs}", done, whole, "examples")
            mean = float(np.mean(losses))
            row = {"epoch": epoch, "loss": mean, "learning_rate": rate.at(number - 1)}
            if validate:
                row |= validate()
                _finite(row["val_loss"], what, epoch, rows, "validation loss")
            if watch:
                row |= watch(number)
            rows.append(row)
            figures = {name: float(value) for name, value in row.items() if name != "epoch"}
            progress.epoch(what, epoch, epochs, figures)
            if record:
                record(epoch, row)
            hold(mean)
            if validate and not _falls(losses):
                # Else the net learns, and what it says of other examples follows: batch norm whose
                # statistics are learnt, too, is some epochs behind.
                hold(row["val_loss"], "validation loss")
            rate.epoch_ended(row["val_loss"] if validate else mean)
            if validate and (best is None or row["val_loss"] < best[0]):
                best = row["val_loss"], epoch, [v.numpy() for v in model.weights]
            if best and patience and epoch - best[1] >= patience:
                break
    except BlownUp as error:
        if not best:
            raise
        stopped = error.problem
    if best:
        keras.backend.batch_set_value(list(zip(model.weights, best[2], strict=True)))
    else:  # nobody has seen what the last step did: a step gives the loss from before it
        hold(float(loss(said(inputs, False), wanted, weights)))
        for variable in variables:  # an 8-bit layer clips infinity to its range: no loss shows it
            largest = float(np.abs(variable.numpy()).max())
            _finite(largest, what, epochs, rows, f"largest weight of {variable.name}")
    return Course(rows, stopped)


def _falls(losses: list[float]) -> bool:
    """Whether they are lower in the second half of an epoch."""
    half = len(losses) // 2
    return half > 0 and float(np.mean(losses[-half:])) < float(np.mean(losses[:half]))


def _finite(value: float, what: str, epoch: int, rows: Rows, name: str = "loss") -> None:
    if not math.isfinite(value):
        raise BlownUp(what, f"the {name} is {value} in epoch {epoch}", rows)
