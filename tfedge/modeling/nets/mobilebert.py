"""The network of a MobileBERT: layers that are narrow inside, with several feed-forward parts.

It is computed in float: there are no ranges for 8 bits of its activations.
"""

from __future__ import annotations

from typing import Any

from tfedge.modeling.nets.attention import NEVER, PaddingMask, Positions, Trigrams
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.transformer import NORM, SUM, Attention, attended, dense, pooled, words

L = keras.layers


def mobilebert(base: EncoderBase, packed: Any) -> Any:
    """Packed inputs [B, 2, S] → features [B, H] (Sun et al. 2020)."""
    padding = PaddingMask(NEVER, name="padding")(packed)
    trigrams = Trigrams(name="embeddings_trigrams")(words(base, packed))
    pieces = dense(trigrams, base.hidden, "embeddings_projection")
    pieces = _scaled(Positions(name="positions")(pieces), "embeddings")
    for number in range(base.depth):
        pieces = _layer(base, pieces, padding, f"layer_{number}")
    return pooled(base, pieces, padding)


def _layer(base: EncoderBase, pieces: Any, padding: Any, name: str) -> Any:
    def masked(scores: Any) -> Any:
        return L.Add(name=f"{name}_masked")([scores, padding])

    def narrow(part: str) -> Any:
        return _scaled(dense(pieces, base.bottleneck, f"{name}_{part}"), f"{name}_{part}")

    sizes = Attention(base.heads, base.bottleneck)
    found = attended(narrow("shared"), pieces, sizes, name, masked)
    found = L.Add(name=f"{name}_attention{SUM}")([found, narrow("narrowed")])
    found = _scaled(found, f"{name}_attention")
    for number in range(base.stacked):
        part = f"{name}_{number}"
        inner = L.ReLU(name=f"{part}_relu")(dense(found, base.inner, f"{part}_inner"))
        outer = dense(inner, base.bottleneck, f"{part}_outer")
        found = _scaled(L.Add(name=f"{part}{SUM}")([outer, found]), part)
    found = L.Add(name=f"{name}{SUM}")([dense(found, base.hidden, f"{name}_widened"), pieces])
    return _scaled(found, name)


def _scaled(pieces: Any, name: str) -> Any:
    """What stands in for a layer normalisation, without mean and variance."""
    return L.DepthwiseConv2D(1, name=f"{name}{NORM}")(pieces)
