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
from dataclasses import dataclass, field
from typing import Any

from tfedge.modeling.nets import decoder, mobilebert
from tfedge.modeling.nets.attention import Gelu, PaddingMask
from tfedge.modeling.nets.divided import Divided, Divisions
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import HEAD, NAME
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.transformer import (
    ATTENTION,
    OUTER,
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
    divisions: Divisions = field(default_factory=dict)  # of a BERT, for 8 bits


def build(spec: EncoderSpec) -> Any:
    """The network, untrained: packed [None, 2, S] int32 → logits [None, classes]."""
    packed = keras.Input((2, spec.base.length), name="packed", dtype="int32")
    if spec.divisions:
        features = _bert(spec.base, packed, spec.divisions)
    else:
        features = _STYLES[spec.base.style](spec.base, packed)
    return keras.Model(packed, L.Dense(spec.classes, name=HEAD)(features), name=NAME)


def _bert(base: EncoderBase, packed: Any, divisions: Divisions | None = None) -> Any:
    """Packed inputs [B, 2, S] → features [B, H] (Devlin et al. 2019)."""
    padding = PaddingMask(name="padding")(packed)
    pieces = normalised(base, embedded(base, packed), "embeddings")
    if base.embedding != base.hidden:
        pieces = dense(pieces, base.hidden, "embeddings_projection")
    for number in range(base.depth):
        pieces = _layer(base, pieces, padding, f"layer_{number}", divisions or {})
    return pooled(base, pieces, padding)


def _layer(base: EncoderBase, pieces: Any, padding: Any, name: str, divisions: Divisions) -> Any:
    def masked(scores: Any) -> Any:
        return L.Add(name=f"{name}_masked")([scores, padding])

    found = attended(pieces, pieces, Attention(base.heads, base.hidden), name, masked)

    def added(found: Any, pieces: Any, part: str) -> Any:
        division = divisions.get(part)
        if division:
            pieces = Divided(division.numbers, base.hidden, name=f"{part}_divided")(pieces)
        found = L.Add(name=f"{part}{SUM}")([found, pieces])
        return normalised(base, found, part, division)

    pieces = added(found, pieces, f"{name}{ATTENTION}")
    inner = Gelu(name=f"{name}_gelu")(dense(pieces, base.inner, f"{name}_inner"))
    return added(dense(inner, base.hidden, f"{name}{OUTER}"), pieces, name)


_STYLES: Mapping[str, Callable[[EncoderBase, Any], Any]] = {
    "bert": _bert,
    "distilbert": _bert,
    "electra": _bert,
    "gpt2": decoder.gpt2,
    "mobilebert": mobilebert.mobilebert,
}
