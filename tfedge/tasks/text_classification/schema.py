"""Text classification: its row and its keys. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import cast

from tfedge.catalog.encoders import WORDS
from tfedge.catalog.recipes import DYNAMIC
from tfedge.errors import ConfigError
from tfedge.inputs.text.schema import TextData
from tfedge.pipeline import distillation, encoder
from tfedge.pipeline.encoder import Encoder, TeacherEncoder
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.recipes import is_quantized, quantized_by
from tfedge.pipeline.schema import Distill, Pipeline
from tfedge.pipeline.unfreeze import TrainingStage, first_trained, resolve
from tfedge.portable.wordpiece import WordPiece
from tfedge.tasks.classification.schema import LEAST, TOP1, ClassifierEvaluate
from tfedge.tasks.task import Task

_LENGTH = "data.length"
_TABLE_STAYS = "the table of words does not train: name a layer, or how many of them"


def _rules(pipeline: Pipeline) -> Iterator[Problem]:
    data, chosen = cast(TextData, pipeline.data), cast(Encoder, pipeline.backbone)
    yield from encoder.problems(chosen, data.length, _LENGTH)
    yield from _teacher(pipeline, data.length)
    if not is_text_encoding(data.encoding):
        yield Problem("data.encoding", f"no encoding {data.encoding!r}: utf-8, cp1252, latin-1 …")
    if quantized_by(pipeline).float_activations and pipeline.quantize and pipeline.quantize.keep:
        what = f"{DYNAMIC.name} leaves all activations in float: leave it out"
        yield Problem("quantize.keep", what, ("quantize.recipe",))
    if pipeline.quantize and pipeline.quantize.xnnpack_input:
        what = "a text model reads ids, which are not quantized: leave it out"
        yield Problem("quantize.xnnpack_input", what, ("task",))
    yield from _of_words(pipeline) if chosen.words else _not_yet(pipeline)
    yield from _on_android(pipeline, chosen)


def is_text_encoding(name: str) -> bool:
    """Whether Python knows an encoding of texts by that name."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return bool(getattr(found, "_is_text_encoding", True))


def _teacher(pipeline: Pipeline, length: int) -> Iterator[Problem]:
    """What is wrong with the encoder of ``distill.teacher``."""
    teacher = cast("TeacherEncoder | None", distillation.teacher_of(pipeline))
    if teacher is None:
        return
    key = distillation.NET
    at = _LENGTH if teacher.length == "auto" else f"{key}.length"
    yield from encoder.problems(teacher, teacher.reads_of(length), at, key)
    if teacher.vocabulary != "full":
        what = "a teacher goes into no file, and reads by all pieces that it has: leave it out"
        yield Problem(f"{key}.vocabulary", what, (key,))
    if teacher.frozen and pipeline.distill and pipeline.distill.unfreeze != "none":
        what = f"the layers of a {teacher.row.style} do not train here yet: take none"
        yield Problem("distill.unfreeze", what, (key,))
    elif teacher.known and not teacher.words and _is_all(pipeline.distill, teacher):
        yield Problem("distill.unfreeze", _TABLE_STAYS, (key,))


def _is_all(section: Distill | None, net: Encoder) -> bool:
    """Whether all of the net trains, its table too."""
    try:
        return section is not None and resolve(section.unfreeze, net.blocks) == 0
    except ConfigError:  # a block that there is none of: another rule says so
        return False


def _of_words(pipeline: Pipeline) -> Iterator[Problem]:
    """What the mean of word vectors has no kernels for: all that it has is a table, and a head."""
    way = "backbone.vocabulary: seen makes the file smaller: leave it out"
    for section in ("prune", "cluster"):
        if getattr(pipeline, section) is not None:
            what = f"{WORDS.name} is a table of word vectors, without kernels to {section}"
            yield Problem(section, f"{what}; {way}", ("backbone.name",))


def _not_yet(pipeline: Pipeline) -> Iterator[Problem]:
    """What encoders can't do here so far; refused by name."""
    if pipeline.backbone.frozen:
        yield from _frozen(pipeline, cast(Encoder, pipeline.backbone).row.style)
    stages: tuple[TrainingStage, ...] = ("finetune", "prune", "quantize")
    for stage in stages:
        if (
            pipeline.backbone.known
            and getattr(pipeline, stage)
            and _from_the_table(pipeline, stage)
        ):
            yield Problem(f"{stage}.unfreeze", _TABLE_STAYS, ("backbone",))


def _frozen(pipeline: Pipeline, style: str) -> Iterator[Problem]:
    """What an encoder can't do whose features are taken as they are."""
    uses = ("backbone.weights",)
    if pipeline.finetune.unfreeze != "none":
        what = f"the layers of a {style} do not train here yet: take none"
        yield Problem("finetune.unfreeze", what, uses)
    for section in ("prune", "cluster"):
        if getattr(pipeline, section) is not None:
            what = f"the layers of a {style} do not train here yet: leave it out"
            yield Problem(section, what, uses)
    if is_quantized(pipeline) and not quantized_by(pipeline).float_activations:
        what = f"the activations of a {style} have no 8 bits yet"
        yield Problem("quantize.recipe", f"{what}: take quantize: {{recipe: dynamic}}", uses)


def _on_android(pipeline: Pipeline, chosen: Encoder) -> Iterator[Problem]:
    wanted = pipeline.package is not None and "android" in pipeline.package.targets
    if wanted and chosen.known and chosen.row.tokenizer != WordPiece.name:
        what = f"the Kotlin knows {WordPiece.name} alone, a {chosen.row.style} has "
        what += f"{chosen.row.tokenizer}: take linux"
        yield Problem("package.targets", what, ("backbone.weights",))


def _from_the_table(pipeline: Pipeline, stage: TrainingStage) -> bool:
    try:
        return first_trained(pipeline, stage) == 0
    except ConfigError:  # a block that there is none of: another rule says so
        return False


TASK = Task(
    name="text-classification",
    data=TextData,
    backbone=Encoder,
    teacher=TeacherEncoder,
    evaluate=ClassifierEvaluate,
    primary=TOP1,
    beside=(LEAST["min_macro_recall"],),
    least=LEAST,
    draft="tfedge.tasks.text_classification.draft:draft",
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
