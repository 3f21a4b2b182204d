"""The network of a text encoder: ids and mask in, logits out, one flat graph.

::

    packed [None, 2, S] int32: the ids of S pieces, and 1 for a piece, 0 for padding
      words, positions, embeddings_norm
      layer_0 … layer_n      attention and feed-forward, each added and normalised
      pool                   the mean of the pieces, or the first one
      logits                 dense, one unit a class

A layer normalisation is its steps (mean, difference, sum of squares, inverse root, product, and a
depthwise convolution with gamma and beta), for that is what 8 bits need ranges for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfedge.modeling.nets.attention import (
    AttentionScores,
    AttentionSum,
    FirstPiece,
    Gelu,
    PaddingMask,
    PieceIds,
    Positions,
    SquaredNorm,
    WeightedMean,
    WordTable,
)
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.layers import ChannelMean, InverseRoot
from tfedge.modeling.nets.network import HEAD, NAME, POOL
from tfedge.modeling.nets.text_base import TextBase

L = keras.layers
SUM, DIFFERENCE, NORM, SQUARES = "_sum", "_difference", "_norm", "_squares"
OUTER, KEY, VALUE = "_outer", "_key", "_value"
# Names of layers end so whose ranges are chosen, not met: see ``compression/clipping.py``.
CHOSEN = (OUTER, KEY, VALUE, SUM, DIFFERENCE, SQUARES)


@dataclass(frozen=True)
class EncoderSpec:
    """What the architecture follows from."""

    base: TextBase
    classes: int


def build(spec: EncoderSpec) -> Any:
    """The network, untrained: packed [None, 2, S] int32 → logits [None, classes]."""
    base = spec.base
    packed = keras.Input((2, base.length), name="packed", dtype="int32")
    padding = PaddingMask(name="padding")(packed)
    table = WordTable(base.pieces, base.embedding, name="words")
    pieces = Positions(name="positions")(table(PieceIds(name="ids")(packed)))
    pieces = _normalised(base, pieces, "embeddings")
    if base.embedding != base.hidden:
        pieces = L.Conv2D(base.hidden, 1, name="embeddings_projection")(pieces)
    for number in range(base.depth):
        pieces = _layer(base, pieces, padding, f"layer_{number}")
    if base.pooling == "cls":
        pooled = FirstPiece(name=POOL)(pieces)
    else:
        shares = L.Activation("softmax", name="pool_shares")(padding)
        pooled = WeightedMean(name=POOL)([shares, pieces])
    return keras.Model(packed, L.Dense(spec.classes, name=HEAD)(pooled), name=NAME)


def _layer(base: TextBase, pieces: Any, padding: Any, name: str) -> Any:
    """A layer of the encoder (Devlin et al. 2019)."""

    def dense(inputs: Any, units: int, part: str) -> Any:
        return L.Conv2D(units, 1, name=f"{name}_{part}")(inputs)

    query, key, value = (dense(pieces, base.hidden, part) for part in ("query", "key", "value"))
    scores = AttentionScores(base.heads, name=f"{name}_scores")([query, key])
    scores = L.Add(name=f"{name}_masked")([scores, padding])
    shares = L.Activation("softmax", name=f"{name}_shares")(scores)
    found = AttentionSum(base.heads, name=f"{name}_context")([shares, value])
    found = dense(found, base.hidden, "attended")
    found = L.Add(name=f"{name}_attention{SUM}")([found, pieces])
    pieces = _normalised(base, found, f"{name}_attention")
    inner = Gelu(name=f"{name}_gelu")(dense(pieces, base.inner, "inner"))
    found = L.Add(name=f"{name}{SUM}")([dense(inner, base.hidden, "outer"), pieces])
    return _normalised(base, found, name)


def _normalised(base: TextBase, pieces: Any, name: str) -> Any:
    """Layer normalisation (Ba et al. 2016) of H numbers: gamma times √H, since the variance is a
    sum."""
    mean = ChannelMean(name=f"{name}_mean")(pieces)
    difference = L.Subtract(name=f"{name}{DIFFERENCE}")([pieces, mean])
    squares = SquaredNorm(name=f"{name}{SQUARES}")(difference)
    root = InverseRoot(base.epsilon * pieces.shape[-1], name=f"{name}_root")(squares)
    scaled = L.Multiply(name=f"{name}_scaled")([difference, root])
    return L.DepthwiseConv2D(1, name=f"{name}{NORM}")(scaled)
