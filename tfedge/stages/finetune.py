"""Stage ``finetune``: a new head on the frozen backbone, then, if asked, the top blocks.

Writes ``model.npz`` (all weights of the network), ``float.tflite``, ``teacher.npz`` (the float
model's logits of every training item, for the stages that learn from them) and ``history.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from tfedge.catalog.unfreeze import first_trained, lowest_trained
from tfedge.core.context import Context
from tfedge.errors import MissingDependency
from tfedge.modeling import network, training
from tfedge.modeling.backbone import assign, weights_of
from tfedge.modeling.env import fresh, keras, tf
from tfedge.modeling.export import float_pixels
from tfedge.modeling.features import Activations
from tfedge.modeling.network import HEAD, POOL, Spec
from tfedge.modeling.part import Samples, TopPart, predictor, score

_ESTIMATE = 64  # pictures that tell a random net's batch norms what comes


def run(ctx: Context) -> None:
    """Train on the training split; the validation split chooses the epoch whose weights stay."""
    pipeline = ctx.pipeline
    if pipeline.finetune.tensorboard and find_spec("tensorboard") is None:
        missing = "finetune.tensorboard: TensorBoard is not installed"
        remedy = "pip install tensorboard, or leave out finetune.tensorboard"
        raise MissingDependency(missing, remedy)
    fresh(pipeline.seed)
    samples = Samples.of(ctx)
    spec = Spec.read(ctx.inputs["backbone/base.json"], len(samples.index.classes))
    model = network.build(spec)
    base = network.load_weights(ctx.inputs["backbone/base.npz"])
    assign(model, network.fold(spec, base), skip=(HEAD,))
    if pipeline.backbone.weights == "none":
        rows = samples.representative(_ESTIMATE, pipeline.seed)
        network.estimate_norms(model, samples.source.pictures.pixels(rows).astype(np.float32))
    hard = training.one_hot(samples.labels, spec.classes, pipeline.finetune.label_smoothing)

    # Activations in between are worth keeping only if a stage trains above them.
    lowest = lowest_trained(pipeline)
    top = TopPart(samples, model, network.boundary(spec, lowest) if lowest is not None else "")
    history: dict[str, Any] = {"chose_weights_on": "val"}
    features = top.features([*samples.items, *samples.val_items()], POOL, "features")
    history["head"] = _head(samples, top, features, hard)
    first = first_trained(pipeline, "finetune")
    if first is not None:
        part = TopPart(samples, model, network.boundary(spec, first))
        history["blocks"] = _blocks(samples, part, hard)
        features = top.features(samples.items, POOL, "features of the teacher")
    last = history.get("blocks") or history["head"]
    history["best_epoch"] = min(last, key=lambda row: row["val_loss"])["epoch"]

    ctx.progress.note(f"float model: {_best(last)}")
    network.save_weights(ctx.out / "model.npz", weights_of(model))
    said = features(np.arange(len(samples.items)))
    network.save_weights(ctx.out / "teacher.npz", _teacher(model.get_layer(HEAD), said))
    (ctx.out / "float.tflite").write_bytes(float_pixels(model, spec.size, softmax=True))
    (ctx.out / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")


def _teacher(head: Any, features: np.ndarray) -> dict[str, np.ndarray]:
    """What the float model says of each item: logits, features at a mean square of 1, their own."""
    kernel, bias = (variable.numpy() for variable in (head.kernel, head.bias))
    power = float(np.mean(np.square(features), dtype=np.float64)) or 1.0  # of a dead net: any
    return {
        "logits": features @ kernel + bias,
        "features": (features / np.sqrt(power)).astype(np.float16),
        "power": np.float64(power),
    }


def _head(
    samples: Samples, top: TopPart, features: Activations, hard: np.ndarray
) -> training.History:
    """Dropout and the dense head on the features of items and, behind them, validation pictures."""
    settings = samples.ctx.pipeline.finetune
    val_items, count = samples.val_items(), len(samples.items)
    dense = top.model.get_layer(HEAD)
    inputs = keras.Input(features(np.arange(1)).shape[1:])
    head = keras.Model(inputs, dense(keras.layers.Dropout(settings.dropout)(inputs)))
    logits = predictor(head, lambda at: features(at + count), len(val_items))
    labels = samples.index.labels_of([row for row, _ in val_items])
    return training.train(
        head,
        samples.batches(settings, training.Wanted(hard), features),
        settings,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        what="head",
        progress=samples.ctx.progress,
        validate=lambda: score(logits(), labels),
        patience=settings.patience,
        record=_board(samples.ctx, "head"),
    )


def _blocks(samples: Samples, part: TopPart, hard: np.ndarray) -> training.History:
    """The top blocks together with the head, from the float activations below them."""
    settings = samples.ctx.pipeline.finetune
    if samples.ctx.pipeline.backbone.weights == "none":
        network.learning_norm(part.model)
    else:
        network.inference_norm(part.model)
    val_items = samples.val_items()
    val = part.inputs(val_items, "validation activations")
    logits = predictor(part.model, val, len(val_items))
    gather = part.training_inputs("activations")
    labels = samples.index.labels_of([row for row, _ in val_items])
    return training.train(
        part.model,
        samples.batches(settings, training.Wanted(hard), gather),
        settings,
        epochs=settings.unfreeze_epochs,
        learning_rate=settings.unfreeze_learning_rate,
        what="top blocks",
        progress=samples.ctx.progress,
        validate=lambda: score(logits(), labels),
        patience=settings.patience,
        record=_board(samples.ctx, "blocks"),
    )


def _best(history: training.History) -> str:
    row = min(history, key=lambda row: row["val_loss"])
    return f"epoch {row['epoch']:.0f} is best on the validation pictures, {row['val_accuracy']:.1%}"


def _board(ctx: Context, what: str) -> Callable[[int, dict[str, float]], None] | None:
    """TensorBoard logs in the run's folder, when asked for."""
    if not ctx.pipeline.finetune.tensorboard or ctx.run_dir is None:
        return None
    writer = tf.summary.create_file_writer(str(ctx.run_dir / "tensorboard" / what))

    def record(epoch: int, row: dict[str, float]) -> None:
        with writer.as_default(step=epoch):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        writer.flush()

    return record
