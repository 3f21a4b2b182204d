"""Networks of encoders with random weights, for the tests of what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfedge.catalog.encoders import Encoder
from tfedge.core.outputs import Pretrained
from tfedge.modeling.nets import encoder
from tfedge.modeling.nets.backbone import assign
from tfedge.modeling.nets.encoder import EncoderSpec
from tfedge.modeling.nets.env import fresh, tf
from tfedge.modeling.nets.export import frozen
from tfedge.modeling.nets.network import HEAD
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.weights.encoder import converted

CLASSES = 3


def built(
    row: Encoder, tensors: dict[str, np.ndarray], length: int, depth: int, pooling: str
) -> Any:
    """The network with these tensors of the row's own names."""
    base = EncoderBase(
        name=row.name,
        weights=Pretrained(source="none", detail="", sha256="", licence=""),
        depth=depth,
        hidden=row.hidden,
        embedding=row.embedding,
        heads=row.heads,
        inner=row.inner,
        pieces=row.vocabulary,
        epsilon=row.epsilon,
        length=length,
        pooling=pooling,
        style=row.style,
        bottleneck=row.bottleneck,
        stacked=row.stacked,
    )
    fresh(1)
    model = encoder.build(EncoderSpec(base, CLASSES))
    assign(model, converted(tensors, row, depth, length), skip=(HEAD,))
    return model


def graph(model: Any) -> Any:
    """Of ids and mask, with the scores of a classifier."""
    length = model.input.shape[2]
    specs = [tf.TensorSpec((1, length), tf.int32, name) for name in ("ids", "mask")]
    return frozen(
        lambda ids, mask: tf.nn.softmax(model(tf.stack([ids, mask], 1), training=False)), *specs
    )
