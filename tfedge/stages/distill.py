"""Stage ``distill``: what a teacher says of every training item, for prune and quantize to learn.

The teacher is the float model, or another backbone, which gets a head here as the float model got
its own in finetune, on the same examples and views.

Writes ``teacher.npz`` (``logits`` [items, units]) and ``distill.json`` (which net, its accuracy on
the validation examples beside the float model's, history).
"""

from __future__ import annotations

from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.core.outputs import Base, Distillation, History, ValidationResult
from tfedge.errors import TfedgeError
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh
from tfedge.pipeline.schema import Net
from tfedge.report.trained import chosen_state
from tfedge.stages.examples import primary_of
from tfedge.stages.heads import head_class, material_of


def run(ctx: Context) -> None:
    """Make the teacher that ``distill.teacher`` names, and ask it."""
    settings = ctx.pipeline.distill
    assert settings is not None
    metric = primary_of(ctx)
    finetune = outputs.read(ctx.inputs["finetune/history.json"], History)
    net: Base | None = None
    history: History | None = None
    if isinstance(settings.teacher, Net):
        fresh(ctx.pipeline.seed)
        try:
            taught = head_class(ctx).taught(material_of(ctx), settings.teacher, settings)
        except TfedgeError as error:  # the way out is the teacher's key, not the student's
            error.hint = error.hint.replace("backbone.weights", "distill.teacher.weights")
            raise
        logits, name = taught.outputs, settings.teacher.name
        net, history = taught.base, taught.history
    else:
        logits = network.load_weights(ctx.inputs["finetune/teacher.npz"])["logits"]
        name = "the float model"
    if history is not None and history.best_epoch == 0:
        ctx.progress.note(f"warning: the teacher: {chosen_state(history)}")
    plain, teacher = finetune.val, (history or finetune).val
    ctx.progress.note(
        f"teacher: {name}, {metric.text(teacher.value(metric))} on the validation examples "
        f"(the float model: {metric.text(plain.value(metric))})"
    )
    network.save_weights(ctx.out / "teacher.npz", {"logits": logits})
    found = Distillation(
        name=name,
        val_accuracy=teacher.value(metric),
        val_loss=teacher.loss,
        plain=ValidationResult(val_accuracy=plain.value(metric), val_loss=plain.loss),
        chose_weights_on=finetune.chose_weights_on,
        net=net,
        history=history,
    )
    outputs.write(ctx.out / "distill.json", found)
