"""Stage ``distill``: what a teacher says of every training item, for prune and quantize to learn.

The teacher is the float model, or another backbone, which gets a head here as the float model got
its own in finetune, on the same examples and views.

Writes ``teacher.npz`` (``logits`` [items, units]) and ``distill.json`` (which net, its accuracy on
the validation examples beside the float model's, history).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfedge.core.context import Context
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh
from tfedge.pipeline.schema import TeacherNet
from tfedge.stages.examples import primary_of
from tfedge.stages.heads import head_class, material_of
from tfedge.tasks.task import Metric


def run(ctx: Context) -> None:
    """Make the teacher that ``distill.teacher`` names, and ask it."""
    settings = ctx.pipeline.distill
    assert settings is not None
    metric = primary_of(ctx)
    finetune = json.loads(ctx.inputs["finetune/history.json"].read_text(encoding="utf-8"))
    plain = _figures(finetune, metric)
    facts: dict[str, Any] = {"float": plain, "chose_weights_on": finetune["chose_weights_on"]}
    if isinstance(settings.teacher, TeacherNet):
        fresh(ctx.pipeline.seed)
        taught = head_class(ctx).taught(material_of(ctx), settings.teacher, settings)
        logits, name = taught.outputs, settings.teacher.name
        found = {"net": taught.facts, **_figures(taught.history, metric)}
        found["history"] = taught.history
    else:
        logits = network.load_weights(ctx.inputs["finetune/teacher.npz"])["logits"]
        found, name = plain, "the float model"
    facts |= {"name": name, **found}
    ctx.progress.note(
        f"teacher: {name}, {metric.text(facts['val_accuracy'])} on the validation examples "
        f"(the float model: {metric.text(plain['val_accuracy'])})"
    )
    network.save_weights(ctx.out / "teacher.npz", {"logits": logits})
    (ctx.out / "distill.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _figures(history: Mapping[str, Any], metric: Metric) -> dict[str, Any]:
    return {"val_accuracy": history["val"][metric.key], "val_loss": history["val"]["loss"]}
