"""8-bit training that keeps clusters: weights of one value move as one.

TF-MOT's own cluster-preserving scheme is not used. Its registry has one quantizer for all layers,
which stops keeping zeros for good at the first layer that has none; it takes the values of a kernel
apart by channel, as its ranges are, which leaves many more distinct bytes; it holds a second copy
of each kernel and looks for the nearest centroid of every weight in every step; and what the last
step learnt is left out. Here the gradient alone is changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfedge.modeling.compression.tfmot import Quantizer
from tfedge.modeling.nets.env import tf


class ClusterPreserving(Quantizer):
    """A layer's kernel quantizer that keeps which weights are equal, and zeros.

    Every weight of a cluster gets the same gradient, their sum, as if the cluster's value were the
    variable that trains; any optimizer then makes the same step with each of them, bit for bit. The
    gradient of zeros is zero. All channels have the range of the whole kernel, so that equal
    weights are equal bytes in every channel: what differs from channel to channel is the scale of
    the batch norm behind, which the converter folds in.
    """

    def __init__(self, quantizer: Any, kernel: np.ndarray) -> None:
        """``quantizer`` is the layer's own, ``kernel`` the clustered one."""
        self._quantizer = quantizer
        values, cluster = np.unique(kernel, return_inverse=True)
        cluster = cluster.ravel().astype(np.int32)
        self._cluster = cluster  # of each weight, in flat order
        self._order = np.argsort(cluster, kind="stable").astype(np.int32)
        self._ranked = cluster[self._order]
        self._moves = (values != 0).astype(np.float32)  # [clusters]

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return self._quantizer.build(tensor_shape, name, layer)

    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> Any:
        stored = inputs
        if training:
            stored = self.as_one(inputs)
            low, high = self.ranges(tf.abs(inputs), weights["max_var"].shape)
            weights["min_var"].assign(low)
            weights["max_var"].assign(high)
        return self._quantizer(stored, False, weights, **kwargs)

    @staticmethod
    def ranges(size: Any, shape: Any) -> tuple[Any, Any]:
        """The lower and upper ends, of that shape, for a kernel of absolute values ``size``."""
        most = tf.fill(shape, tf.maximum(tf.reduce_max(size), 1e-8))
        return -most, most

    def as_one(self, kernel: Any) -> Any:
        """The kernel, whose gradient is shared within each cluster."""

        @tf.custom_gradient
        def held(value: Any) -> Any:
            def gradient(upstream: Any) -> Any:
                ranked = tf.gather(tf.reshape(upstream, [-1]), self._order)
                sums = tf.math.segment_sum(ranked, self._ranked) * self._moves
                return tf.reshape(tf.gather(sums, self._cluster), tf.shape(upstream))

            return tf.identity(value), gradient

        return held(kernel)

    def get_config(self) -> dict[str, Any]:
        return {}
