"""What text classification says of texts and of a model's scores, with numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tfedge.core.outputs import Base
from tfedge.data.audit import Contents
from tfedge.data.index import Index
from tfedge.data.kind import TEXTS
from tfedge.data.schema import Data
from tfedge.data.sources import scan
from tfedge.files.progress import Progress
from tfedge.inputs.text.corruptions import corruptions
from tfedge.inputs.text.schema import TextData
from tfedge.inputs.text.texts import EncodedTexts, Encoding, Look, looks_of, seen_pieces
from tfedge.modeling.nets.text_base import TextBase, WordsBase
from tfedge.modeling.nets.weights.encoder_files import files_of
from tfedge.pipeline.encoder import Encoder
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.audited import audited
from tfedge.tasks.blocks import cell
from tfedge.tasks.classification.scores import ScoredClasses
from tfedge.tasks.drop import Asked, Card, Check, Chosen, Content, Parts, Told
from tfedge.tasks.task import Ask, Examples
from tfedge.tasks.text_classification import card, drop, reader
from tfedge.tasks.text_classification import golden as pairs
from tfedge.tasks.text_classification.examples import LabelledTexts
from tfedge.tasks.text_classification.occlusion import speaking

_SHOWN = 100  # characters of a text in a report
_STRANGE = 0.5  # share of a text's words that the vocabulary lacks, from which it is named
_UNKNOWN = "texts of which most words are not in the encoder's vocabulary"


class TextClassification(ScoredClasses):
    """Which class a text is of."""

    kind = TEXTS
    noise = "gaps"

    def scan(self, pipeline: Pipeline, cache: Path, progress: Progress, out: Path) -> None:
        """Leaves the ids of every text in their store, and the vocabulary in the index."""
        settings = cast(TextData, pipeline.data)
        chosen = cast(Encoder, pipeline.backbone)
        row = chosen.row
        vocabulary = files_of(row, chosen.weights, cache, progress.note).vocabulary()
        found = scan(settings, cache, progress)
        files = found.files
        encoding = Encoding(vocabulary, settings.length, settings.encoding)
        looks, bad = looks_of(encoding.store(cache), files, encoding, progress)
        contents = Contents(
            same={digest: look.same for digest, look in looks.items()},
            bad=bad,
            near={},
            alike=lambda one, other: False,
            remarks={d: _UNKNOWN for d, one in looks.items() if one.unknown > _STRANGE * one.words},
        )
        skip = settings.on_bad_text == "skip"
        index, findings = audited(found, contents, settings, skip, progress)
        kept: tuple[int, ...] = ()
        if chosen.vocabulary == "seen":
            train = index.keys(index.rows_of("train"))
            kept = seen_pieces(vocabulary.pieces, encoding.store(cache).get(train)[:, 0])
            vocabulary = vocabulary._replace(pieces=[vocabulary.pieces[one] for one in kept])
            encoding = Encoding(vocabulary, settings.length, settings.encoding)
            looks, _ = looks_of(encoding.store(cache), files, encoding, progress)
            progress.note(f"{len(kept):,} of {row.vocabulary:,} pieces of the vocabulary are kept")
        shown = [looks[row.sha256] for row in index.rows]
        for text in _read_by_the_model(shown, settings.length):
            progress.note(text)
            findings.warnings.append(text)
        index.with_vocabulary(vocabulary, kept).save(out / "index.json")
        findings.save(out / "audit.json")

    def examples(self, index: Path, data: Data, root: Path, cache: Path) -> LabelledTexts:
        settings, found = cast(TextData, data), Index.load(index)
        encoding = Encoding(found.vocabulary, settings.length, settings.encoding)
        return LabelledTexts(EncodedTexts(found, root, cache, encoding))

    def worst(
        self, outputs: np.ndarray, examples: Examples, rows: Sequence[int], count: int, ask: Ask
    ) -> list[dict[str, Any]]:
        """With how each text begins, and the words that speak for the answer."""
        found = super().worst(outputs, examples, rows, count, ask)
        labelled = cast(LabelledTexts, examples)
        texts, encoding = labelled.texts, labelled.texts.encoding
        by_name = dict(zip(examples.names(rows), rows, strict=True))
        for row in found:
            number = by_name[row["path"]]
            text = " ".join(texts.text(number).split())
            row["text"] = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
            answer, ids = labelled.classes.index(row["predicted"]), texts.ids([number])[0]
            words = speaking(ids, encoding, answer, row["score"], ask)
            row["words"] = [word._asdict() for word in words]
        return found

    def corruptions(
        self, examples: Examples
    ) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
        return corruptions(cast(LabelledTexts, examples).texts.encoding.kind.marks)

    def net_text(self, base: Base) -> str:
        net = TextBase.of(base)
        if isinstance(net, WordsBase):
            of = f"{net.embedding} numbers for each of {net.pieces:,} pieces"
            return f"{cell(net.name)}, {of}, {net.length} pieces of a text"
        return f"{cell(net.name)}, {net.depth} layers, {net.length} pieces of a text"

    def contract(self, model: bytes, examples: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
        """int32 [1, length] ids and the same of a mask in, scores [1, classes] out."""
        return drop.contract(model, cast(LabelledTexts, examples))

    def reader(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> reader.TextReader:
        return reader.TextReader(facts, file)

    def recognises(self, metadata: Mapping[str, Any]) -> bool:
        return reader.recognises(metadata)

    def alone(self, model: bytes, told: Told) -> dict[str, Any]:
        return reader.alone(model, told)

    def drop_facts(self, examples: Examples) -> dict[str, Any]:
        return drop.facts(cast(LabelledTexts, examples))

    def beside(self, examples: Examples) -> dict[str, bytes]:
        return drop.beside(cast(LabelledTexts, examples))

    def synthetic(
        self, examples: Examples, given: Mapping[str, Any], asked: Asked, count: int
    ) -> Chosen:
        return pairs.synthetic(cast(LabelledTexts, examples), asked, count)

    def public(
        self,
        files: Sequence[Path],
        examples: Examples,
        given: Mapping[str, Any],
        asked: Asked,
        count: int,
    ) -> Chosen:
        return pairs.public(files, cast(LabelledTexts, examples), asked, count)

    def held_out(self, examples: Examples, rows: Sequence[int], count: int) -> Chosen:
        return pairs.held_out(cast(LabelledTexts, examples), rows, count)

    def for_target(self, target: str, content: Content, examples: Examples) -> Content:
        return drop.for_target(target, content, cast(LabelledTexts, examples))

    def parts(self, target: str, content: Content, told: Mapping[str, str]) -> Parts:
        return drop.parts(target, content, told)

    def card(self, content: Content) -> Card:
        return card.card(content)

    def check_drop(self, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
        return drop.check(folder, manifest)


def _read_by_the_model(looks: Sequence[Look], length: int) -> list[str]:
    """How many texts are cut, and how many words become [UNK]."""
    cut, words = sum(look.cut for look in looks), sum(look.words for look in looks)
    unknown = sum(look.unknown for look in looks)
    found = []
    if cut:
        found.append(
            f"{cut / len(looks):.1%} of the texts are cut: they have more than the {length} pieces "
            "of data.length"
        )
    if unknown:
        found.append(
            f"{unknown / words:.1%} of the words become [UNK]: the encoder's vocabulary lacks them"
        )
    return found
