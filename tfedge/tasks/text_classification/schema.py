"""Text classification: its row and its keys. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import cast

from tfedge.errors import ConfigError
from tfedge.inputs.text.schema import TextData
from tfedge.pipeline import encoder
from tfedge.pipeline.encoder import Encoder
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.recipes import is_quantized, quantized_by
from tfedge.pipeline.schema import Pipeline
from tfedge.pipeline.unfreeze import TrainingStage, first_trained
from tfedge.tasks.classification.schema import LEAST, TOP1, ClassifierEvaluate
from tfedge.tasks.task import Task

_LENGTH = "data.length"


def _rules(pipeline: Pipeline) -> Iterator[Problem]:
    data, chosen = cast(TextData, pipeline.data), cast(Encoder, pipeline.backbone)
    yield from encoder.problems(chosen, data.length, _LENGTH)
    if not _is_text_encoding(data.encoding):
        yield Problem("data.encoding", f"no encoding {data.encoding!r}: utf-8, cp1252, latin-1 …")
    yield from _not_yet(pipeline)


def _is_text_encoding(name: str) -> bool:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return bool(getattr(found, "_is_text_encoding", True))


def _not_yet(pipeline: Pipeline) -> Iterator[Problem]:
    """What encoders can't do here so far; refused by name."""
    for section in ("distill", "cluster"):
        if getattr(pipeline, section) is not None:
            yield Problem(section, "is not for encoders yet: leave it out")
    if pipeline.backbone.frozen:
        yield from _frozen(pipeline, cast(Encoder, pipeline.backbone).row.style)
    stages: tuple[TrainingStage, ...] = ("finetune", "prune", "quantize")
    for stage in stages:
        if (
            pipeline.backbone.known
            and getattr(pipeline, stage)
            and _from_the_table(pipeline, stage)
        ):
            what = "the table of words does not train: name a layer, or how many of them"
            yield Problem(f"{stage}.unfreeze", what, ("backbone",))
    if pipeline.quantize is not None and pipeline.quantize.keep:
        yield Problem("quantize.keep", "is not for encoders yet: leave it out")


def _frozen(pipeline: Pipeline, style: str) -> Iterator[Problem]:
    """What an encoder can't do whose features are taken as they are."""
    uses = ("backbone.weights",)
    if pipeline.finetune.unfreeze != "none":
        what = f"the layers of a {style} do not train here yet: take none"
        yield Problem("finetune.unfreeze", what, uses)
    if pipeline.prune is not None:
        what = f"the layers of a {style} do not train here yet: leave it out"
        yield Problem("prune", what, uses)
    if is_quantized(pipeline) and not quantized_by(pipeline).float_activations:
        what = f"the activations of a {style} have no 8 bits yet"
        yield Problem("quantize.recipe", f"{what}: take quantize: {{recipe: dynamic}}", uses)


def _from_the_table(pipeline: Pipeline, stage: TrainingStage) -> bool:
    try:
        return first_trained(pipeline, stage) == 0
    except ConfigError:  # a block that there is none of: another rule says so
        return False


TASK = Task(
    name="text-classification",
    data=TextData,
    backbone=Encoder,
    evaluate=ClassifierEvaluate,
    primary=TOP1,
    beside=(LEAST["min_macro_recall"],),
    least=LEAST,
    work="tfedge.tasks.text_classification.work:TextClassification",
    texts="tfedge.tasks.text_classification.copied:texts",
    head="tfedge.tasks.text_classification.head:TextClassifierHead",
    rules=_rules,
    inputs=(_LENGTH, "data.encoding"),
    shape=(_LENGTH,),
    judged_by=("evaluate.top_k",),
    scanned=("backbone", "net_reads"),
    sample="sample:messages",
    harder="texts cut to 32 pieces, and texts that lack one piece in seven",
    detail=("per_class", "confusion", "reliability"),
    drops=("linux", "android"),
)
