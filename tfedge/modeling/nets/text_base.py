"""Which encoder a network of texts is made from, as base.json has it."""

from __future__ import annotations

from tfedge.core.outputs import Base, narrow

IDS, MASK = "ids", "mask"  # of a file's inputs: by name, for their order is the converter's


class TextBase(Base):
    depth: int  # layers that are used
    hidden: int  # numbers a piece
    embedding: int  # … before the first layer
    heads: int
    inner: int  # units of a feed-forward part
    pieces: int  # of the vocabulary
    epsilon: float  # of layer normalisation
    length: int  # pieces of a text that are read
    pooling: str  # "mean" | "cls" | "last"
    style: str = "bert"  # a name in catalog.encoders.STYLES
    bottleneck: int = 0  # numbers a piece inside of a layer, where these are others; MobileBERT
    stacked: int = 1  # feed-forward parts of a layer

    @classmethod
    def of(cls, base: Base) -> TextBase:
        """ArtifactError when it says nothing of texts."""
        return narrow(base, cls, "base.json")
