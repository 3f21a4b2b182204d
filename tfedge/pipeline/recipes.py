"""What follows from a pipeline's recipes before anything runs: which head, how many steps, whether
8 bits are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tfedge.catalog.recipes import AUTO, FLOAT, PTQ, QAT, Quantizing, quantizing
from tfedge.pipeline.schema import Pipeline, Retrain, Transfer

FEW, MANY = 150, 300  # least steps of `steps: auto`, and from so many examples on:
MANY_EXAMPLES = 800
NOISY = 512  # training examples that a stage shows with noise, at most


def head_kind(settings: Transfer, changes_examples: bool) -> Literal["logistic", "sgd"]:
    """How the head is made: ``auto`` is the regression, unless something asks for training.

    ``changes_examples``: what is learnt from is changed at random (``data.augment``).

    Augmentation and label smoothing regularise by training, which a converged regression on what
    the frozen base says of the examples has no use for.
    """
    if settings.head != "auto":
        return settings.head
    return "sgd" if changes_examples or settings.label_smoothing else "logistic"


def least_steps(settings: Retrain, examples: int) -> int:
    """How many steps prune, cluster and quantize train at least on that many examples."""
    if settings.steps != "auto":
        return settings.steps
    return MANY if examples >= MANY_EXAMPLES else FEW


def steps(settings: Retrain, examples: int, epoch: int) -> int:
    """How many steps a stage trains: the epochs asked for, of ``epoch`` steps each, or the least
    number of steps if that is more."""
    return max(settings.epochs * epoch, least_steps(settings, examples))


def quantized_by(pipeline: Pipeline) -> Quantizing:
    """The recipe that quantize begins with; FLOAT without one.

    ``auto`` calibrates only, unless prune or cluster left something that has to recover in 8 bits,
    or there is a teacher to learn from.
    """
    if pipeline.quantize is None:
        return FLOAT
    if pipeline.quantize.recipe != AUTO:
        return quantizing(pipeline.quantize.recipe)
    return QAT if pipeline.prune or pipeline.cluster or pipeline.distill else PTQ


def is_quantized(pipeline: Pipeline) -> bool:
    """Whether the file that ships is one of 8 bits."""
    return quantized_by(pipeline).ships == "int8"


def implied(sections: Mapping[str, Any]) -> dict[str, str]:
    """Sections that a file, as plain data, has not, and the key that stands for each of them."""
    quantize = sections.get("quantize")
    if not isinstance(quantize, dict) or quantize.get("prefer") != "size":
        return {}
    if quantize.get("recipe", AUTO) != AUTO or "prune" in sections or "cluster" in sections:
        return {}
    return {"prune": "quantize.prefer"}
