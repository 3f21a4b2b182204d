"""Transfer learning: a new head on a pretrained base, then, if asked, the base's top blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.catalog.backbones import Block
from tfedge.core.outputs import History, Side
from tfedge.files import mapped
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import HEAD, POOL
from tfedge.modeling.training import loop
from tfedge.modeling.training.features import Activations
from tfedge.modeling.training.folding import folded_norms
from tfedge.modeling.training.objective import Dense
from tfedge.modeling.training.part import Samples, TopPart, predictor
from tfedge.modeling.training.rows import Rows, mean_square, portions
from tfedge.pipeline.recipes import head_kind
from tfedge.pipeline.schema import Transfer
from tfedge.tasks.task import Metric


@dataclass(frozen=True)
class Learned:
    """How it went, and the model's features of all items."""

    history: History
    features: Activations

    def logits(self, model: Any, count: int) -> np.ndarray:
        """What the model's head says of the first ``count`` items, float32 [count, units]."""
        return _logits(model, self.features, count)

    def said(self, model: Any, count: int, path: Path) -> dict[str, np.ndarray]:
        """What the model says of the first ``count`` items: logits, and the mean square of its
        features. These go to ``path`` at a mean square of 1, float16 [count, F]."""
        features = self.features.first(count)
        power = mean_square(features) or 1.0  # of a dead net: any
        scaled = (features[at] / np.sqrt(power) for at in portions(count))
        mapped.save(path, scaled, (count, *features[np.arange(1)].shape[1:]), np.float16)
        return {"logits": self.logits(model, count), "power": np.float64(power)}


def _logits(model: Any, features: Activations, count: int) -> np.ndarray:
    head = model.get_layer(HEAD)
    kernel, bias = head.kernel.numpy(), head.bias.numpy()
    return np.concatenate([features(at) @ kernel + bias for at in portions(count)])


def learn(
    samples: Samples,
    blocks: Sequence[Block],
    model: Any,
    settings: Transfer,
    *,
    random: bool,
    first: int | None,
    lowest: int | None,
    metric: Metric,
    whose: str = "",
    head_known: bool = False,
    record: Callable[[str], loop.Record | None] = lambda what: None,
    headed: Callable[[Any], None] = lambda model: None,
) -> Learned:
    """Make the head, then train those of ``blocks`` from ``first`` up (None: the head alone).

    A head that is fitted asks no validation example. Where something is trained in epochs the
    validation split chooses the state that stays: an epoch's, or the one from before the blocks
    trained. ``lowest`` is the lowest block that anything will train: the activations below it are
    kept. Batch norm learns in the blocks of a ``random`` base, and of no other. ``metric`` is the
    primary one; ``whose`` is for the progress line; ``head_known``: the head is an earlier run's,
    which one that trains in epochs must do better than; ``record`` gives what takes each epoch's
    figures of the head and of the blocks (a log, TensorBoard); ``headed`` gets the model with its
    new head before blocks train with it.
    """
    # Activations in between are worth keeping only if a stage trains above them.
    top = TopPart(samples, model, network.boundary(blocks, lowest) if lowest is not None else "")
    features = top.features([*samples.items, *samples.val_items()], POOL, f"{whose}features")
    hard = samples.objective.targets(samples.items, settings)
    kind = head_kind(settings, samples.views > 0)
    c: float | None = None
    course: loop.Course | None = None
    trained: loop.Course | None = None
    what = f"{whose}head"
    if kind == "logistic":
        fitted = _fit_head(samples, top, features, settings, what)
        rows, c = fitted.trials, fitted.c
    else:
        trained = _train_head(
            samples, top, features, hard, settings, what, record("head"), head_known
        )
        rows = trained.rows
    if first is not None:
        headed(model)
        part = TopPart(samples, model, network.boundary(blocks, first))
        (network.learning_norm if random else network.inference_norm)(part.model)
        what = f"{whose}top blocks"
        course = trained = _blocks(samples, part, hard, settings, what, record("blocks"))
        every = [*samples.items, *samples.val_items()]
        features = top.features(every, POOL, f"{whose}features of the trained blocks")
    views = len(samples.items)
    outputs = _logits(model, features, views + len(samples.val_rows))

    def side(said: np.ndarray, examples: Sequence[int]) -> Side:
        found = samples.objective.score(said, examples)
        return Side(loss=found.loss, n=len(examples), **metric.named(found.primary))

    history = History(
        head_kind=kind,
        chose_weights_on=None if trained is None else "val",
        head=rows,
        C=c,
        blocks=None if course is None else course.rows,
        best_epoch=None if trained is None else _best(trained.rows),
        stopped=None if trained is None else trained.stopped,
        train=side(outputs[: len(samples.train_rows)], samples.train_rows),
        val=side(outputs[views:], samples.val_rows),
    )
    return Learned(history, features)


def _best(rows: loop.Rows) -> int:
    epoch: int = min(rows, key=lambda row: row["val_loss"])["epoch"]
    return epoch


def _fit_head(
    samples: Samples, top: TopPart, features: Activations, settings: Transfer, what: str
) -> Dense:
    """The converged head, in the model's last layer, too."""
    count, progress = len(samples.items), samples.progress
    fitted = samples.objective.fit(
        features.first(count),
        samples.item_rows,
        np.tile(np.arange(len(samples.train_rows)), samples.views + 1),
        settings,
        samples.seed,
        lambda done, total: progress.update(what, done, total, "folds"),
        samples.source.cache,
    )
    layer = top.model.get_layer(HEAD)
    layer.kernel.assign(fitted.kernel)
    layer.bias.assign(fitted.bias)
    return fitted


def _train_head(
    samples: Samples,
    top: TopPart,
    features: Activations,
    hard: Rows,
    settings: Transfer,
    what: str,
    record: loop.Record | None,
    from_start: bool,
) -> loop.Course:
    """Dropout and the dense head on the features of items and, behind them, validation examples."""
    count = len(samples.items)
    dense = top.model.get_layer(HEAD)
    inputs = keras.Input(features(np.arange(1)).shape[1:])
    head = keras.Model(inputs, dense(keras.layers.Dropout(settings.dropout)(inputs)))
    batches = samples.batches(settings, loop.LearningTargets(hard), features)
    rate = settings.epochs, settings.learning_rate

    def val(at: np.ndarray) -> np.ndarray:
        return features(at + count)

    return _fit(samples, head, batches, val, settings, rate, what, record, from_start=from_start)


def _blocks(
    samples: Samples,
    part: TopPart,
    hard: Rows,
    settings: Transfer,
    what: str,
    record: loop.Record | None,
) -> loop.Course:
    """The top blocks together with the head, from the float activations below them."""
    val = part.inputs(samples.val_items(), "validation activations")
    gather = part.training_inputs("activations")
    batches = samples.batches(settings, loop.LearningTargets(hard), gather)
    rate = settings.unfreeze_epochs, settings.unfreeze_learning_rate
    return _fit(samples, part.model, batches, val, settings, rate, what, record, from_start=True)


def _fit(
    samples: Samples,
    model: Any,
    batches: loop.Batches,
    val: loop.Gather,
    settings: Transfer,
    rate: tuple[int, float],
    what: str,
    record: loop.Record | None,
    *,
    from_start: bool,
) -> loop.Course:
    """Train for ``rate`` (epochs, learning rate); ``val`` gives what validation examples put in."""
    rows, objective = samples.val_rows, samples.objective
    outputs = predictor(model, val, len(rows))

    def validate() -> dict[str, float]:
        found = objective.score(outputs(), rows)
        return {"val_loss": found.loss, f"val_{objective.figure}": found.primary}

    with folded_norms(model):
        return loop.train(
            model,
            batches,
            settings,
            steps=rate[0] * batches.steps,
            learning_rate=rate[1],
            what=what,
            progress=samples.progress,
            loss=objective.loss(),
            validate=validate,
            patience=settings.patience,
            from_start=from_start,
            record=record,
        )
