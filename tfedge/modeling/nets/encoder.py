"""The network of a text encoder: ids and mask in, logits out, one flat graph.

::

    packed [None, 2, S] int32: the ids of S pieces, and 1 for a piece, 0 for padding
      words, positions, embeddings_norm
      layer_0 … layer_n      attention and feed-forward, each added and normalised
      pool                   the mean of the pieces, or the first one
      logits                 dense, one unit a class

That is a BERT; ``decoder`` has a GPT-2, ``mobilebert`` a MobileBERT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfedge.modeling.nets import decoder, mobilebert
from tfedge.modeling.nets.attention import Gelu, PaddingMask
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import HEAD, NAME
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.transformer import (
    SUM,
    Attention,
    attended,
    dense,
    embedded,
    normalised,
    pooled,
)

L = keras.layers


@dataclass(frozen=True)
class EncoderSpec:
    """What the architecture follows from."""

    base: EncoderBase
    classes: int


def build(spec: EncoderSpec) -> Any:
    """The network, untrained: packed [None, 2, S] int32 → logits [None, classes]."""
    packed = keras.Input((2, spec.base.length), name="packed", dtype="int32")
    features = _STYLES[spec.base.style](spec.base, packed)
    return keras.Model(packed, L.Dense(spec.classes, name=HEAD)(features), name=NAME)


def _bert(base: EncoderBase, packed: Any) -> Any:
    """Packed inputs [B, 2, S] → features [B, H] (Devlin et al. 2019)."""
    padding = PaddingMask(name="padding")(packed)
    pieces = normalised(base, embedded(base, packed), "embeddings")
    if base.embedding != base.hidden:
        pieces = dense(pieces, base.hidden, "embeddings_projection")
    for number in range(base.depth):
        pieces = _layer(base, pieces, padding, f"layer_{number}")
    return pooled(base, pieces, padding)


def _layer(base: EncoderBase, pieces: Any, padding: Any, name: str) -> Any:
    def masked(scores: Any) -> Any:
        return L.Add(name=f"{name}_masked")([scores, padding])

    found = attended(pieces, pieces, Attention(base.heads, base.hidden), name, masked)
    found = L.Add(name=f"{name}_attention{SUM}")([found, pieces])
    pieces = normalised(base, found, f"{name}_attention")
    inner = Gelu(name=f"{name}_gelu")(dense(pieces, base.inner, f"{name}_inner"))
    found = L.Add(name=f"{name}{SUM}")([dense(inner, base.hidden, f"{name}_outer"), pieces])
    return normalised(base, found, name)


_STYLES: Mapping[str, Callable[[EncoderBase, Any], Any]] = {
    "bert": _bert,
    "distilbert": _bert,
    "electra": _bert,
    "gpt2": decoder.gpt2,
    "mobilebert": mobilebert.mobilebert,
}
