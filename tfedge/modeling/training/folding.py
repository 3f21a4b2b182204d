"""Batch norm folded into the kernel before it while a network trains, or only computes.

On its stored statistics a batch norm is a scale and a shift a channel. Applied to the kernel, which
is small, instead of to the result, which is not, it leaves a convolution with a bias that one op
computes, and no gradient of a large tensor by the way, which is a good part of a step of pruning or
of 8-bit training. The answers are the same up to float rounding, and so are the gradients of
kernels, gammas and betas (as in the folding of Jacob et al. 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3.2, but that
kernels are rounded before they are scaled, as the converter does it with a scale a channel).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import kernel_of, unwrapped

_L = keras.layers


@contextmanager
def folded_norms(model: Any, *, training: bool = True) -> Iterator[int]:
    """Inside, a model computes with folded norms; how many there are.

    A norm that learns statistics (when ``training``), is not the only one to read a convolution, or
    has an activation before it, is left as it is.
    """
    pairs = [pair for pair in _pairs(model) if not (training and pair[1].trainable)]
    for conv, norm in pairs:
        conv.call = _with_norm(conv, norm)
        norm.call = _as_it_is
    try:
        yield len(pairs)
    finally:
        for pair in pairs:
            for layer in pair:
                del layer.call  # the class's own is found again


def _pairs(model: Any) -> Iterator[tuple[Any, Any]]:
    """Convolutions and the norms behind them, both without their wrappers."""
    inside = {id(layer) for layer in model.layers}
    for layer in model.layers:
        conv = unwrapped(layer)
        if type(conv) not in (_L.Conv2D, _L.DepthwiseConv2D) or _changed(conv):
            continue
        readers = {
            id(node.outbound_layer): node.outbound_layer
            for node in layer.outbound_nodes
            if id(node.outbound_layer) in inside
        }
        if len(readers) != 1 or layer.name in model.output_names or not _is_linear(conv):
            continue
        norm = unwrapped(*readers.values())
        if isinstance(norm, _L.BatchNormalization) and not _changed(norm):
            yield conv, norm


def _changed(layer: Any) -> bool:
    """Whether a layer computes something else than its class."""
    return "call" in vars(layer)


def _is_linear(conv: Any) -> bool:
    return conv.activation is None or conv.activation is keras.activations.linear


def _with_norm(conv: Any, norm: Any) -> Callable[[Any], Any]:
    """What both give, as the ``call`` of the former."""
    depthwise = isinstance(conv, _L.DepthwiseConv2D)

    def call(inputs: Any) -> Any:
        scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        scale = scale if norm.gamma is None else scale * norm.gamma
        shift = (conv.bias if conv.use_bias else 0.0) - norm.moving_mean
        shift = shift * scale if norm.beta is None else shift * scale + norm.beta
        kernel = kernel_of(conv)  # rounded by now, where a wrapper rounds it
        if depthwise:
            per_channel = tf.reshape(scale, (-1, conv.depth_multiplier))
            result = keras.backend.depthwise_conv2d(
                inputs,
                kernel * per_channel,
                strides=conv.strides,
                padding=conv.padding,
                dilation_rate=conv.dilation_rate,
            )
        else:
            result = conv.convolution_op(inputs, kernel * scale)
        return tf.nn.bias_add(result, shift)

    return call


def _as_it_is(inputs: Any, training: Any = None) -> Any:
    return inputs
