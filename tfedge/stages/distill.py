"""Stage ``distill``: what a teacher says of every training item, for prune and quantize to learn.

The teacher is the float model, or another backbone, which gets a head here as the float model got
its own in finetune, on the same pictures and views at a size of its own.

Writes ``teacher.npz`` (``logits`` [items, classes]) and ``distill.json`` (which net, its accuracy
on the validation pictures beside the float model's, history).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tfedge.catalog.backbones import layers
from tfedge.core.context import Context
from tfedge.errors import TfedgeError
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh
from tfedge.modeling.nets.network import Spec
from tfedge.modeling.nets.weights import source
from tfedge.modeling.training import transfer
from tfedge.pipeline.schema import Distill, TeacherNet
from tfedge.pipeline.teacher import size_of
from tfedge.pipeline.unfreeze import resolve
from tfedge.stages.samples import samples_of


def run(ctx: Context) -> None:
    """Make the teacher that ``distill.teacher`` names, and ask it."""
    settings = ctx.pipeline.distill
    assert settings is not None
    finetune = json.loads(ctx.inputs["finetune/history.json"].read_text(encoding="utf-8"))
    plain = _figures(finetune)
    facts: dict[str, Any] = {"float": plain, "chose_weights_on": finetune["chose_weights_on"]}
    if isinstance(settings.teacher, TeacherNet):
        logits, found = _backbone(ctx, settings, settings.teacher)
        name = settings.teacher.name
    else:
        logits = network.load_weights(ctx.inputs["finetune/teacher.npz"])["logits"]
        found, name = plain, "the float model"
    facts |= {"name": name, **found}
    ctx.progress.note(
        f"teacher: {name}, {facts['val_accuracy']:.1%} on the validation pictures "
        f"(the float model: {plain['val_accuracy']:.1%})"
    )
    network.save_weights(ctx.out / "teacher.npz", {"logits": logits})
    (ctx.out / "distill.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _figures(history: dict[str, Any]) -> dict[str, float]:
    return {"val_accuracy": history["val"]["top1"], "val_loss": history["val"]["loss"]}


def _backbone(
    ctx: Context, settings: Distill, teacher: TeacherNet
) -> tuple[np.ndarray, dict[str, Any]]:
    """The logits of another backbone with a head of its own, and what is known of it."""
    fresh(ctx.pipeline.seed)
    size = size_of(teacher)
    try:
        loaded = source.load(teacher, size, ctx.cache, ctx.progress)
    except TfedgeError as error:  # the way out is the teacher's key, not the student's
        error.hint = error.hint.replace("backbone.weights", "distill.teacher.weights")
        raise
    samples = samples_of(ctx, size)
    # Decoded on all cores, before anybody asks for one after the other.
    rows = [*samples.train_rows, *samples.index.rows_of("val")]
    samples.source.pictures.memmap_rows(rows, ctx.progress)
    classes = len(samples.index.classes)
    spec = Spec(teacher.name, teacher.alpha, size, loaded.mean, loaded.std, classes)
    random = teacher.weights == "none"
    model = transfer.headless(samples, spec, loaded.weights, random)
    first = resolve(settings.unfreeze, layers(teacher.name, teacher.alpha))
    learned = transfer.learn(
        samples,
        spec,
        model,
        settings,
        random=random,
        first=first,
        lowest=first,
        whose="teacher's ",
    )
    facts = {
        "net": source.described(teacher, size, loaded),
        **_figures(learned.history),
        "history": learned.history,
    }
    return learned.logits(model, len(samples.items)), facts
