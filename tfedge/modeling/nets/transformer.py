"""What the networks of encoders are made of, in Keras' functional way.

A layer normalisation is its steps (mean, difference, sum of squares, inverse root, product, and a
depthwise convolution with gamma and beta), for that is what 8 bits need ranges for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tfedge.modeling.nets.attention import (
    AttentionScores,
    AttentionSum,
    FirstPiece,
    PieceIds,
    Positions,
    SumOfSquares,
    WeightedMean,
    WordTable,
)
from tfedge.modeling.nets.divided import Divided, Division, LeftOut, MeanOfDivided
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.layers import ChannelMean, InverseRoot
from tfedge.modeling.nets.network import POOL
from tfedge.modeling.nets.text_base import EncoderBase

L = keras.layers
SUM, DIFFERENCE, NORM, SQUARES = "_sum", "_difference", "_norm", "_squares"
OUTER, KEY, VALUE, ATTENDED, LEFT_OUT = "_outer", "_key", "_value", "_attended", "_left_out"
REST = "_rest"  # without what is left out
ATTENTION = "_attention"  # of a layer, its first half
# Names of layers end so whose ranges are chosen, not met: see ``compression/clipping.py``.
CHOSEN = (OUTER, KEY, VALUE, SUM, DIFFERENCE, SQUARES, LEFT_OUT)


class Attention(NamedTuple):
    """Its heads, and the numbers of a piece in all of them."""

    heads: int
    width: int


def words(base: EncoderBase, packed: Any) -> Any:
    """The pieces [B, 1, S, E] of packed inputs [B, 2, S]."""
    table = WordTable(base.pieces, base.embedding, name="words")
    return table(PieceIds(name="ids")(packed))


def embedded(base: EncoderBase, packed: Any) -> Any:
    """The same, their places added."""
    return Positions(name="positions")(words(base, packed))


def dense(pieces: Any, units: int, name: str) -> Any:
    """Of each piece."""
    return L.Conv2D(units, 1, name=name)(pieces)


def attended(
    compared: Any, summed: Any, sizes: Attention, name: str, masked: Callable[[Any], Any]
) -> Any:
    """Attention among pieces (Vaswani et al. 2017): what queries and keys are made from and what
    values are, [B, 1, S, …] each; ``masked`` takes from scores [B, heads, S, S] those that no piece
    may have."""
    query, key, value = (
        dense(pieces, sizes.width, f"{name}_{part}")
        for part, pieces in (("query", compared), ("key", compared), ("value", summed))
    )
    scores = masked(AttentionScores(sizes.heads, name=f"{name}_scores")([query, key]))
    shares = L.Activation("softmax", name=f"{name}_shares")(scores)
    found = AttentionSum(sizes.heads, name=f"{name}_context")([shares, value])
    return dense(found, sizes.width, f"{name}{ATTENDED}")


def pooled(base: EncoderBase, pieces: Any, padding: Any) -> Any:
    """What the head sees [B, H] of the pieces of a BERT."""
    if base.pooling == "cls":
        return FirstPiece(name=POOL)(pieces)
    shares = L.Activation("softmax", name="pool_shares")(padding)
    return WeightedMean(name=POOL)([shares, pieces])


def normalised(base: EncoderBase, pieces: Any, name: str, division: Division | None = None) -> Any:
    """Layer normalisation (Ba et al. 2016) of H numbers: gamma times √H, since the variance is a
    sum. ``division``: which of them are stored divided, as gamma has to know."""
    if division:
        mean: Any = MeanOfDivided(division.numbers, name=f"{name}_mean")(pieces)
        mean = Divided(division.numbers, pieces.shape[-1], name=f"{name}_mean_divided")(mean)
    else:
        mean = ChannelMean(name=f"{name}_mean")(pieces)
    difference = L.Subtract(name=f"{name}{DIFFERENCE}")([pieces, mean])
    if division:
        rest = SumOfSquares(name=f"{name}{REST}{SQUARES}")(difference)
        left_out = LeftOut(division.numbers, name=f"{name}{LEFT_OUT}")(difference)
        others = SumOfSquares(name=f"{name}{LEFT_OUT}{SQUARES}")(left_out)
        squares = L.Add(name=f"{name}{SQUARES}")([rest, others])
    else:
        squares = SumOfSquares(name=f"{name}{SQUARES}")(difference)
    root = InverseRoot(base.epsilon * pieces.shape[-1], name=f"{name}_root")(squares)
    scaled = L.Multiply(name=f"{name}_scaled")([difference, root])
    return L.DepthwiseConv2D(1, name=f"{name}{NORM}")(scaled)
