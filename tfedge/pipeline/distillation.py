"""What holds between ``distill`` and the rest of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from tfedge.errors import ConfigError
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import Net, Pipeline, Transfer
from tfedge.pipeline.teacher import learners, retrained
from tfedge.pipeline.unfreeze import resolve

NET = "distill.teacher"


def problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Every problem of a ``distill`` section but those of the teacher's net, which its task knows;
    none without one."""
    distill = pipeline.distill
    if distill is None:
        return
    if not learners(pipeline):
        yield Problem("distill", _nobody(pipeline), ("prune", "cluster", "quantize"))
    teacher = distill.teacher
    if isinstance(teacher, Net):
        try:
            if teacher.known:
                resolve(distill.unfreeze, teacher.blocks)
        except ConfigError as error:
            yield Problem("distill.unfreeze", error.message, (NET,))
        return
    for name, field in Transfer.model_fields.items():
        if getattr(distill, name) != field.default:
            what = "the teacher float is what finetune made: nothing trains here, see finetune."
            yield Problem(f"distill.{name}", what + name, (NET,))


def _nobody(pipeline: Pipeline) -> str:
    """Why there is nobody who learns."""
    deaf = [f"{stage}.teacher" for stage in retrained(pipeline)]
    if not deaf:
        return "nothing learns from it: add a prune section, or quantize with recipe qat"
    return f"nothing learns from it: give it a share (0.7, say) in {' or '.join(deaf)}"


def teacher_of(pipeline: Pipeline) -> Net | None:
    """The net that teaches; None where the float model does, or nobody."""
    teacher = pipeline.distill.teacher if pipeline.distill is not None else None
    return teacher if isinstance(teacher, Net) else None
