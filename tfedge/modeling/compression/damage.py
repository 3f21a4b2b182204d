"""How much pruning one layer alone changes what a network says of examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfedge.modeling.compression.allocation import Damage
from tfedge.modeling.compression.structure import thinned
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import kernel_of
from tfedge.pipeline.schema import Prune

EXAMPLES = 64  # that are looked at


def scan(model: Any, pool: str, inputs: np.ndarray, prune: Prune) -> Damage:
    """Damage of (layer, share): that share of its smallest weights (or blocks of them, if ``prune``
    asks for blocks) set to zero, nothing trained.

    Measured on the features before the head, what layer ``pool`` gives for ``inputs`` [n, …]
    float32: their mean square distance from those of the whole net, over the mean square of these.
    Scores would not do: a well trained net's hardly move until much of it is gone.
    """
    features = keras.Model(model.input, model.get_layer(pool).get_output_at(-1))
    say = tf.function(lambda: features(tf.constant(inputs), training=False), autograph=False)
    whole = say().numpy()
    power = float(np.square(whole).mean()) or 1.0  # of a dead net: any

    def damage(name: str, share: float) -> float:
        kernel = kernel_of(model.get_layer(name))
        before = kernel.numpy()
        kernel.assign(thinned(before, prune, share))
        try:
            return float(np.square(say().numpy() - whole).mean()) / power
        finally:
            kernel.assign(before)

    return damage
