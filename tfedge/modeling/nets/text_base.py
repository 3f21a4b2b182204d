"""Which net a network of texts is made from, as base.json has it."""

from __future__ import annotations

from typing import Literal

from tfedge.core.outputs import Base, dump, narrow

IDS, MASK = "ids", "mask"  # of a file's inputs: by name, for their order is the converter's


class TextBase(Base):
    embedding: int  # numbers that the table has for a piece
    pieces: int  # of the vocabulary
    length: int  # pieces of a text that are read

    @staticmethod
    def of(base: Base) -> EncoderBase | WordsBase:
        """ArtifactError when it says nothing of texts."""
        if dump(base).get("net") == "words":
            return narrow(base, WordsBase, "base.json")
        return narrow(base, EncoderBase, "base.json")


class EncoderBase(TextBase):
    """A BERT, or the first layers of one."""

    depth: int  # layers that are used
    hidden: int  # numbers a piece
    heads: int
    inner: int  # units of a feed-forward part
    epsilon: float  # of layer normalisation
    pooling: str  # "mean" | "cls" | "last"
    style: str = "bert"  # a name in catalog.encoders.STYLES
    bottleneck: int = 0  # numbers a piece inside of a layer, where these are others; MobileBERT
    stacked: int = 1  # feed-forward parts of a layer


class WordsBase(TextBase):
    """The mean of word vectors."""

    net: Literal["words"]  # tells it from an encoder
