"""What holds between ``distill`` and the rest of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from tfedge.catalog.backbones import BACKBONES
from tfedge.errors import ConfigError
from tfedge.pipeline import nets
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import Pipeline, TeacherNet, Transfer
from tfedge.pipeline.teacher import learners, retrained, size_of
from tfedge.pipeline.unfreeze import resolve

_NET, _SIZE = "distill.teacher", "distill.teacher.image_size"


def problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Every problem of a ``distill`` section; none without one."""
    distill = pipeline.distill
    if distill is None:
        return
    if not learners(pipeline):
        yield Problem("distill", _nobody(pipeline), ("prune", "cluster", "quantize"))
    teacher = distill.teacher
    if isinstance(teacher, TeacherNet):
        size = size_of(teacher) if teacher.name in BACKBONES else 0
        yield from nets.problems(teacher, _NET, size, _SIZE)
        try:
            if teacher.known:
                resolve(distill.unfreeze, teacher.blocks)
        except ConfigError as error:
            yield Problem("distill.unfreeze", error.message, (_NET,))
        return
    for name, field in Transfer.model_fields.items():
        if getattr(distill, name) != field.default:
            what = "the teacher float is what finetune made: nothing trains here, see finetune."
            yield Problem(f"distill.{name}", what + name, (_NET,))


def _nobody(pipeline: Pipeline) -> str:
    """Why there is nobody who learns."""
    deaf = [f"{stage}.teacher" for stage in retrained(pipeline)]
    if not deaf:
        return "nothing learns from it: add a prune section, or quantize with recipe qat"
    return f"nothing learns from it: give it a share (0.7, say) in {' or '.join(deaf)}"


def notes(pipeline: Pipeline) -> list[str]:
    """What is allowed, but should be known before the run starts."""
    teacher = pipeline.distill.teacher if pipeline.distill is not None else None
    if not isinstance(teacher, TeacherNet):
        return []
    return nets.notes(teacher, _NET, size_of(teacher), _SIZE)
