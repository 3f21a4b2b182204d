"""Text classification: its row and its keys. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import cast

from tfedge.catalog.recipes import OFF, PTQ
from tfedge.inputs.text.schema import TextData
from tfedge.pipeline import encoder
from tfedge.pipeline.encoder import Encoder
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import Pipeline
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
    if pipeline.finetune.unfreeze != "none":
        what = "layers of an encoder do not train yet: none, and its head learns alone"
        yield Problem("finetune.unfreeze", what)
    for section in ("distill", "prune", "cluster"):
        if getattr(pipeline, section) is not None:
            yield Problem(section, "is not for encoders yet: leave it out")
    quantize = pipeline.quantize
    if quantize is None:
        return
    if quantize.recipe not in (PTQ.name, OFF):
        what = f"{quantize.recipe}: encoders are calibrated only so far: ptq, or none"
        yield Problem("quantize.recipe", what)
    if quantize.keep:
        yield Problem("quantize.keep", "is not for encoders yet: leave it out")
    if quantize.debug is True:
        yield Problem("quantize.debug", "is not for encoders yet: leave it out")


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
    scanned=("backbone",),
    sample="sample:messages",
    harder="texts cut to 32 pieces, and texts that lack one piece in seven",
    detail=("per_class", "confusion", "reliability"),
    drops=("linux",),
)
