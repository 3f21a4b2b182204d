"""Layers that stand for what Keras Applications write as bare operations, for 8-bit training."""

from __future__ import annotations

from typing import Any

from tfedge.modeling.nets.env import keras, tf


def kernel_of(layer: Any) -> Any:
    """The variable of a layer's kernel."""
    return layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel


def offset_of(layer: Any) -> Any:
    """The variable that is added to each channel of a layer's result: batch norm's beta, the bias
    of a convolution or a dense layer; None without one."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.beta
    return layer.bias if getattr(layer, "use_bias", False) else None


def sources(layer: Any) -> list[Any]:
    """The layers whose results a layer of a flat network reads."""
    nodes = layer.inbound_nodes
    found: list[Any] = tf.nest.flatten(nodes[0].inbound_layers) if nodes else []
    return found


def unwrapped(layer: Any) -> Any:
    """The layer that a wrapper of TF-MOT is round, or the layer itself."""
    return getattr(layer, "layer", layer)


def hard_sigmoid(inputs: Any) -> Any:
    """relu6(x + 3) / 6, in the form that the converter knows as part of HARD_SWISH."""
    return tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


@keras.utils.register_keras_serializable("tfedge")
class HardSigmoid(keras.layers.Layer):
    """relu6(x + 3) / 6, as MobileNetV3 computes it (Howard et al. 2019)."""

    def call(self, inputs: Any) -> Any:
        return hard_sigmoid(inputs)


@keras.utils.register_keras_serializable("tfedge")
class HardSwish(keras.layers.Layer):
    """x · relu6(x + 3) / 6 (Howard et al. 2019): one op, HARD_SWISH, on the device."""

    def call(self, inputs: Any) -> Any:
        return inputs * hard_sigmoid(inputs)


@keras.utils.register_keras_serializable("tfedge")
class Carrier(keras.layers.Layer):
    """Its input [B, H, W, C] unchanged, written as a 1×1 depthwise convolution with ones.

    It stands before a batch norm that no convolution carries. On the device such a norm would be a
    multiplication and an addition with one range for the factors of all channels; behind a carrier
    it is one DEPTHWISE_CONV_2D with a scale for each channel and 32-bit offsets.
    """

    def call(self, inputs: Any) -> Any:
        ones = tf.ones((1, 1, inputs.shape[-1], 1))
        return tf.nn.depthwise_conv2d(inputs, ones, [1, 1, 1, 1], padding="VALID")


@keras.utils.register_keras_serializable("tfedge")
class ChannelMean(keras.layers.Layer):
    """The mean over the channels of [B, …, C]: [B, …, 1]."""

    def call(self, inputs: Any) -> Any:
        return tf.reduce_mean(inputs, axis=-1, keepdims=True)


@keras.utils.register_keras_serializable("tfedge")
class InverseRoot(keras.layers.Layer):
    """1 / √(x + epsilon)."""

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)

    def call(self, inputs: Any) -> Any:
        return tf.math.rsqrt(inputs + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
