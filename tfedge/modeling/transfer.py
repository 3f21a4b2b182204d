"""Transfer learning: a new head on a pretrained base, then, if asked, the base's top blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfedge.config.schema import Transfer
from tfedge.modeling import network, training
from tfedge.modeling.backbone import Weights, assign
from tfedge.modeling.env import keras
from tfedge.modeling.features import Activations
from tfedge.modeling.network import HEAD, POOL, Spec
from tfedge.modeling.part import Gather, Samples, TopPart, predictor, score

_ESTIMATE = 64  # pictures that tell a random net's batch norms what comes

Record = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Learned:
    """``history`` (training's rows by what was trained, and which epoch's weights stayed), and the
    model's features of all items."""

    history: dict[str, Any]
    features: Activations

    def best(self) -> dict[str, float]:
        """The row of the epoch whose weights stayed."""
        return best(self.history)

    def logits(self, model: Any, count: int) -> np.ndarray:
        """What the model's head says of the first ``count`` items, float32 [count, classes]."""
        head = model.get_layer(HEAD)
        return self.features(np.arange(count)) @ head.kernel.numpy() + head.bias.numpy()


def best(history: dict[str, Any]) -> dict[str, float]:
    """The row with the lowest validation loss of what was trained last."""
    rows: training.History = history.get("blocks") or history["head"]
    return min(rows, key=lambda row: row["val_loss"])


def headless(samples: Samples, spec: Spec, base: Weights, random: bool) -> Any:
    """The network on a base, its head untrained. The batch norms of a ``random`` base are told what
    pictures look like."""
    model = network.build(spec)
    assign(model, network.fold(spec, base), skip=(HEAD,))
    if random:
        rows = samples.representative(_ESTIMATE, samples.ctx.pipeline.seed)
        network.estimate_norms(model, [samples.source.pictures.pixels(rows).astype(np.float32)])
    return model


def learn(
    samples: Samples,
    spec: Spec,
    model: Any,
    settings: Transfer,
    *,
    random: bool,
    first: int | None,
    lowest: int | None,
    whose: str = "",
    record: Callable[[str], Record | None] = lambda what: None,
) -> Learned:
    """Train the head, then the blocks from ``first`` up (None: the head alone).

    The validation split chooses the epoch whose weights stay. ``lowest`` is the lowest block that
    anything will train: the activations below it are kept. Batch norm learns in the blocks of a
    ``random`` base, and of no other. ``whose`` is for the progress line; ``record`` gives what
    takes each epoch's figures of the head and of the blocks (TensorBoard).
    """
    hard = training.one_hot(samples.labels, spec.classes, settings.label_smoothing)
    # Activations in between are worth keeping only if a stage trains above them.
    top = TopPart(samples, model, network.boundary(spec, lowest) if lowest is not None else "")
    history: dict[str, Any] = {"chose_weights_on": "val"}
    features = top.features([*samples.items, *samples.val_items()], POOL, f"{whose}features")
    history["head"] = _head(samples, top, features, hard, settings, f"{whose}head", record("head"))
    if first is not None:
        part = TopPart(samples, model, network.boundary(spec, first))
        (network.learning_norm if random else network.inference_norm)(part.model)
        what = f"{whose}top blocks"
        history["blocks"] = _blocks(samples, part, hard, settings, what, record("blocks"))
        features = top.features(samples.items, POOL, "features of the teacher")
    history["best_epoch"] = best(history)["epoch"]
    return Learned(history, features)


def _head(
    samples: Samples,
    top: TopPart,
    features: Activations,
    hard: np.ndarray,
    settings: Transfer,
    what: str,
    record: Record | None,
) -> training.History:
    """Dropout and the dense head on the features of items and, behind them, validation pictures."""
    count = len(samples.items)
    dense = top.model.get_layer(HEAD)
    inputs = keras.Input(features(np.arange(1)).shape[1:])
    head = keras.Model(inputs, dense(keras.layers.Dropout(settings.dropout)(inputs)))
    batches = samples.batches(settings, training.Wanted(hard), features)
    rate = settings.epochs, settings.learning_rate
    return _fit(
        samples, head, batches, lambda at: features(at + count), settings, rate, what, record
    )


def _blocks(
    samples: Samples,
    part: TopPart,
    hard: np.ndarray,
    settings: Transfer,
    what: str,
    record: Record | None,
) -> training.History:
    """The top blocks together with the head, from the float activations below them."""
    val = part.inputs(samples.val_items(), "validation activations")
    gather = part.training_inputs("activations")
    batches = samples.batches(settings, training.Wanted(hard), gather)
    rate = settings.unfreeze_epochs, settings.unfreeze_learning_rate
    return _fit(samples, part.model, batches, val, settings, rate, what, record)


def _fit(
    samples: Samples,
    model: Any,
    batches: training.Batches,
    val: Gather,
    settings: Transfer,
    rate: tuple[int, float],
    what: str,
    record: Record | None,
) -> training.History:
    """Train for ``rate`` (epochs, learning rate); ``val`` gives what validation pictures put in."""
    val_items = samples.val_items()
    logits = predictor(model, val, len(val_items))
    labels = samples.index.labels_of([row for row, _ in val_items])
    return training.train(
        model,
        batches,
        settings,
        epochs=rate[0],
        learning_rate=rate[1],
        what=what,
        progress=samples.ctx.progress,
        validate=lambda: score(logits(), labels),
        patience=settings.patience,
        record=record,
    )
