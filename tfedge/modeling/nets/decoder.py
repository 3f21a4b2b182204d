"""The network of a GPT-2, without what makes texts of it: each piece sees those before it.

It is computed in float: there are no ranges for 8 bits of its activations.
"""

from __future__ import annotations

from typing import Any

from tfedge.modeling.nets.attention import Causal, Gelu, PieceShares, WeightedMean
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import POOL
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.transformer import SUM, Attention, attended, dense, embedded, normalised

L = keras.layers


def gpt2(base: EncoderBase, packed: Any) -> Any:
    """Packed inputs [B, 2, S] → features [B, H] (Radford et al. 2019).

    A layer normalises what it reads, not what it gives; so the pieces are normalised at the end,
    also behind a layer that is not the encoder's last one.
    """
    pieces = embedded(base, packed)
    for number in range(base.depth):
        pieces = _layer(base, pieces, f"layer_{number}")
    pieces = normalised(base, pieces, "final")
    shares = PieceShares(base.pooling == "last", name="pool_shares")(packed)
    return WeightedMean(name=POOL)([shares, pieces])


def _layer(base: EncoderBase, pieces: Any, name: str) -> Any:
    read = normalised(base, pieces, f"{name}_attention")
    sizes = Attention(base.heads, base.hidden)
    found = attended(read, read, sizes, name, Causal(name=f"{name}_masked"))
    pieces = L.Add(name=f"{name}_attention{SUM}")([found, pieces])
    inner = dense(normalised(base, pieces, name), base.inner, f"{name}_inner")
    inner = Gelu(approximate=True, name=f"{name}_gelu")(inner)
    return L.Add(name=f"{name}{SUM}")([dense(inner, base.hidden, f"{name}_outer"), pieces])
