"""What follows from a pipeline's recipes before anything runs: which head, how many steps, whether
8 bits are trained."""

from __future__ import annotations

import math
from typing import Literal

from tfedge.config.schema import Augment, Pipeline, Retrain, Transfer

INT8 = ("qat", "ptq")  # the recipes whose file is int8
FEW, MANY = 150, 300  # least steps of `steps: auto`, and from so many images on:
MANY_IMAGES = 800


def head_kind(settings: Transfer, augment: Augment | None) -> Literal["logistic", "sgd"]:
    """How the head is made: ``auto`` is the regression, unless something asks for training.

    Augmentation and label smoothing regularise by training, which a converged regression on what
    the frozen base says of the images has no use for.
    """
    if settings.head != "auto":
        return settings.head
    return "sgd" if augment is not None or settings.label_smoothing else "logistic"


def least_steps(settings: Retrain, images: int) -> int:
    """How many steps prune, cluster and quantize train at least on that many images."""
    if settings.steps != "auto":
        return settings.steps
    return MANY if images >= MANY_IMAGES else FEW


def epochs(settings: Retrain, images: int, steps: int) -> int:
    """Epochs of ``steps`` steps each that give the least number of steps, or those asked for."""
    return max(settings.epochs, math.ceil(least_steps(settings, images) / steps))


def quantizes(pipeline: Pipeline) -> bool:
    """Whether the shipped file is int8."""
    return pipeline.quantize is not None and pipeline.quantize.recipe != "none"


def first_recipe(pipeline: Pipeline) -> str:
    """The recipe that quantize begins with; ``none`` without one.

    ``auto`` calibrates only, unless prune or cluster left something that has to recover in 8 bits.
    """
    if pipeline.quantize is None:
        return "none"
    if pipeline.quantize.recipe != "auto":
        return pipeline.quantize.recipe
    return "qat" if pipeline.prune or pipeline.cluster else "ptq"
