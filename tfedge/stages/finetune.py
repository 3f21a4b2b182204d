"""Stage ``finetune``: a new head on the frozen backbone, then, if asked, the top blocks.

Writes ``model.npz`` (all weights of the network), ``float.tflite``, ``teacher.npz`` (the float
model's logits of every training item, for the stages that learn from them) and ``history.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tfedge.catalog.unfreeze import first_trained, lowest_trained
from tfedge.core.context import Context
from tfedge.modeling import network, training
from tfedge.modeling.backbone import assign, weights_of
from tfedge.modeling.env import fresh, keras, tf
from tfedge.modeling.export import float_pixels
from tfedge.modeling.network import HEAD, POOL, Spec
from tfedge.modeling.part import Samples, TopPart, predictor, score


def run(ctx: Context) -> None:
    """Train on the training split; the validation split chooses the epoch whose weights stay."""
    pipeline = ctx.pipeline
    fresh(pipeline.seed)
    samples = Samples.of(ctx)
    spec = Spec.read(ctx.inputs["backbone/base.json"], len(samples.index.classes))
    model = network.build(spec)
    base = network.load_weights(ctx.inputs["backbone/base.npz"])
    assign(model, network.fold(spec, base), skip=(HEAD,))
    hard = training.one_hot(samples.labels, spec.classes, pipeline.finetune.label_smoothing)

    # Activations in between are worth keeping only if a stage trains above them.
    lowest = lowest_trained(pipeline)
    top = TopPart(samples, model, network.boundary(spec, lowest) if lowest is not None else "")
    history: dict[str, Any] = {"chose_weights_on": "val"}
    history["head"] = _head(samples, top, hard)
    first = first_trained(pipeline, "finetune")
    if first is not None:
        part = TopPart(samples, model, network.boundary(spec, first))
        history["blocks"] = _blocks(samples, part, hard)
    last = history.get("blocks") or history["head"]
    history["best_epoch"] = min(last, key=lambda row: row["val_loss"])["epoch"]

    ctx.progress.note(f"float model: {_best(last)}")
    network.save_weights(ctx.out / "model.npz", weights_of(model))
    features = top.features(samples.items, POOL, "features")
    said = features(np.arange(len(features)))
    power = float(np.mean(np.square(said), dtype=np.float64)) or 1.0  # of a dead net: any
    teacher = {
        "logits": top.logits(samples.items),
        "features": (said / np.sqrt(power)).astype(np.float16),
        "power": np.float64(power),
    }
    network.save_weights(ctx.out / "teacher.npz", teacher)
    (ctx.out / "float.tflite").write_bytes(float_pixels(model, spec.size, softmax=True))
    (ctx.out / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")


def _head(samples: Samples, top: TopPart, hard: np.ndarray) -> training.History:
    """Dropout and the dense head on features that are computed once."""
    settings = samples.ctx.pipeline.finetune
    features = top.features(samples.items, POOL, "features")
    val_items = samples.val_items()
    val = top.features(val_items, POOL, "validation features")
    val_features = val(np.arange(len(val)))
    dense = top.model.get_layer(HEAD)
    inputs = keras.Input(features(np.arange(1)).shape[1:])
    head = keras.Model(inputs, dense(keras.layers.Dropout(settings.dropout)(inputs)))
    weights = training.class_weights(settings, samples.labels, hard.shape[1])
    batches = training.Memory(
        features,
        samples.choose,
        training.Wanted(hard),
        weights,
        settings.batch_size,
        samples.ctx.pipeline.seed,
    )
    logits = predictor(head)
    labels = samples.index.labels_of([row for row, _ in val_items])
    return training.train(
        head,
        batches,
        settings,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        what="head",
        progress=samples.ctx.progress,
        validate=lambda: score(logits(val_features), labels),
        patience=settings.patience,
        record=_board(samples.ctx, "head"),
    )


def _blocks(samples: Samples, part: TopPart, hard: np.ndarray) -> training.History:
    """The top blocks together with the head, from the float activations below them."""
    settings = samples.ctx.pipeline.finetune
    network.inference_norm(part.model)
    val_items = samples.val_items()
    labels = samples.index.labels_of([row for row, _ in val_items])
    return training.train(
        part.model,
        part.batches(settings, training.Wanted(hard), samples.ctx.pipeline.seed, "activations"),
        settings,
        epochs=settings.unfreeze_epochs,
        learning_rate=settings.unfreeze_learning_rate,
        what="top blocks",
        progress=samples.ctx.progress,
        validate=lambda: score(part.logits(val_items), labels),
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
