"""What follows from a ``distill`` section: who learns, and how much."""

from __future__ import annotations

from tfedge.pipeline.recipes import quantized_by
from tfedge.pipeline.schema import Pipeline


def retrained(pipeline: Pipeline) -> list[str]:
    """The stages of this pipeline that could learn from a teacher."""
    found = [stage for stage in ("prune", "cluster") if getattr(pipeline, stage) is not None]
    return [*found, *(["quantize"] if quantized_by(pipeline).trains else [])]


def learners(pipeline: Pipeline) -> dict[str, float]:
    """The stages that do, and the teacher's share in each."""
    shares = {stage: getattr(pipeline, stage).teacher for stage in retrained(pipeline)}
    return {stage: share for stage, share in shares.items() if share}
