"""Stage ``finetune``: a new head on the frozen backbone, then, if asked, the top blocks.

Writes ``model.npz`` (all weights of the network), ``float.tflite``, ``teacher.npz`` (the float
model's logits of every training item, for the stages that learn from them) and ``history.json``;
``features.npy``, what the head reads of every such item, if it reads features; ``head.tflite``, the
model with its new head before its blocks trained, where they do.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.errors import MissingDependency
from tfedge.modeling.head import Lesson
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh
from tfedge.modeling.nets.network import HEAD
from tfedge.modeling.training import tensorboard
from tfedge.modeling.training.loop import Record
from tfedge.pipeline.recipes import head_kind
from tfedge.report.trained import of_float
from tfedge.stages import training_log
from tfedge.stages.examples import examples_of, primary_of, task_work
from tfedge.stages.heads import Head, head_of


def run(ctx: Context) -> None:
    """Fit or train on the training split; where something trains in epochs, the validation split
    chooses the state that stays."""
    pipeline = ctx.pipeline
    if pipeline.finetune.tensorboard and find_spec("tensorboard") is None:
        missing = "finetune.tensorboard: TensorBoard is not installed"
        remedy = "pip install tensorboard, or leave out finetune.tensorboard"
        raise MissingDependency(missing, remedy)
    fresh(pipeline.seed)
    head = head_of(ctx)
    base = network.load_weights(ctx.inputs["backbone/base.npz"])
    random = pipeline.backbone.weights == "none"
    model = head.headless(
        {key: value for key, value in base.items() if not key.startswith(f"{HEAD}/")}, random
    )
    known = _go_on(ctx, head, model)

    _show_examples(ctx)

    def ship(name: str, model: Any) -> None:
        (ctx.out / name).write_bytes(head.float_file(model))

    lesson = Lesson(
        random=random,
        first=ctx.first_trained("finetune"),
        lowest=ctx.first_trained("lowest"),
        head_known=known,
        record=lambda what: _recorder(ctx, what),
        headed=partial(ship, "head.tflite"),
    )
    learned = head.learn(model, pipeline.finetune, lesson)
    if learned.history.head_kind == "logistic":
        training_log.write(ctx, "head", learned.history.head)
    ctx.progress.note(str(of_float(learned.history, primary_of(ctx))))
    network.save_weights(ctx.out / "model.npz", head.weights_of(model))
    said = learned.said(model, len(head.samples.items), ctx.out / "features.npy")
    network.save_weights(ctx.out / "teacher.npz", said)
    ship("float.tflite", model)
    outputs.write(ctx.out / "history.json", learned.history)


def _go_on(ctx: Context, head: Head, model: Any) -> bool:
    """Give the head what an earlier run's knows of its units; whether that is all of them."""
    earlier = network.earlier_head(ctx.inputs["backbone/base.npz"])
    if earlier is None or HEAD not in {layer.name for layer in model.layers}:
        return False
    known = earlier.put_into(model.get_layer(HEAD), head.units)
    new = [name for name in head.units if name not in known]
    gone = [name for name in earlier.units if name not in head.units]
    parts = [("has", known), ("new are", new), ("left out are", gone)]
    told = "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)
    if head_kind(ctx.pipeline.finetune, head.samples.views > 0) == "logistic":
        told = f"{told}; it is fitted anew on these examples"
    ctx.progress.note(f"head of the earlier run: {told or 'nothing of it fits'}")
    if any(earlier.units.index(name) != head.units.index(name) for name in known):
        order = [name for name in earlier.units if name in known] + new
        way = "" if order == list(head.units) else head.keeps_order(order)
        ctx.progress.note(f"warning: outputs have other numbers than in the earlier run{way}")
    return not new


def _recorder(ctx: Context, what: str) -> Record:
    """The stage's log and, when asked for, TensorBoard's in the run's folder."""
    log, folder = training_log.recorder(ctx)(what), _tensorboard(ctx)
    if folder is None:
        return log
    figures = tensorboard.figures(folder / what)

    def record(epoch: int, row: dict[str, float]) -> None:
        log(epoch, row)
        figures(epoch, row)

    return record


def _tensorboard(ctx: Context) -> Path | None:
    """The folder that TensorBoard is to be shown, if any."""
    if not ctx.pipeline.finetune.tensorboard or ctx.run_dir is None:
        return None
    return ctx.run_dir / "tensorboard"


def _show_examples(ctx: Context) -> None:
    """To TensorBoard, as far as the task's report has pictures of them."""
    if folder := _tensorboard(ctx):
        blocks = task_work(ctx).data(ctx.inputs["data/index.json"], None, examples_of(ctx))
        tensorboard.show(folder / "examples", blocks)
