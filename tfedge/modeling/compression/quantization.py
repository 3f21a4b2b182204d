"""Quantization-aware training with TF-MOT: wrapping, ranges, and what must not move.

TF-MOT wraps every layer for 8 bits. Its ranges start at ±6 and follow the training batches by a
thousandth a step, so a short fine-tune would never find them, and the frozen part, which sees no
training at all, would keep ±6. Here every range is set from training images before anything
trains. What trains is a model cut out of the wrapped one: the frozen part is not in it, so nothing
in it can move.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from tfedge.modeling.compression.observation import Ranges, observe, ranges_of, shares
from tfedge.modeling.compression.quantize_clusters import ClusterPreserving
from tfedge.modeling.compression.quantize_configs import configs_of, neighbours, same_scale
from tfedge.modeling.compression.quantize_layers import CALLS, OWN, FixedRange, as_depthwise
from tfedge.modeling.compression.tfmot import quantize_wrapper
from tfedge.modeling.nets.attention import SumOfSquares
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import Carrier, HardSwish, InverseRoot
from tfedge.modeling.nets.network import inference_norm
from tfedge.modeling.nets.transformer import CHOSEN

PREFIX = "quant_"  # before the names of wrapped layers, as TF-MOT has it


@tf.autograph.experimental.do_not_convert  # TF-MOT's layers have nothing to convert
def wrap(model: Any, *, preserve_zeros: bool, clustered: Collection[str] = ()) -> Any:
    """A flat network with every layer wrapped by TF-MOT for 8 bits; its layers live on inside.

    The one given is not to be used any more: a wrapped layer computes with quantized kernels.
    ``preserve_zeros``: zero weights stay zero (TF-MOT's prune-preserving scheme).
    ``clustered``: layers whose equal weights stay equal.
    Raises UnsupportedModel naming the layers that can't be trained in 8 bits.
    """
    # TF-MOT's prune-preserving scheme passes over layers that are not trainable. What is trainable
    # now stays among a wrapper's trainable weights: inference_norm holds batch norm's statistics
    # afterwards, but gamma and beta train. That is sound: on held statistics batch norm is the same
    # scale and shift in training and in the file, folded into kernels with a range a channel.
    for layer in model.layers:
        layer.trainable = True
    configs = configs_of(model, preserve_zeros=preserve_zeros, clustered=clustered)
    known = {name for group in same_scale(model) for name in group} | shares(model)
    # 1 / √0 is infinite; on the device, and in a range that is held, it is the range's end.
    known |= {layer.name for layer in model.layers if isinstance(layer, InverseRoot)}
    if any(isinstance(layer, SumOfSquares) for layer in model.layers):
        known |= {layer.name for layer in model.layers if layer.name.endswith(CHOSEN)}
    for name in known:
        _freeze_range(configs[name], model.get_layer(name))

    def wrapped(layer: Any) -> Any:
        if own := OWN.get(type(layer)):
            layer = own.from_config(layer.get_config())
            if layer.name not in configs:
                layer._name = PREFIX + layer.name
                return layer
        elif isinstance(neighbours(layer)[0], Carrier):
            layer.call = as_depthwise(layer)
        elif other := CALLS.get(type(layer)):
            layer.call = other(layer)
        return quantize_wrapper.QuantizeWrapperV2(layer, configs[layer.name], name_prefix=PREFIX)

    return keras.models.clone_model(model, clone_function=wrapped)


def wants_ranges(model: Any) -> bool:
    """Whether the converter, left to find ranges by itself, would make a slower file: it makes
    HARD_SWISH of a hard swish then (see ``QuantizedHardSwish``)."""
    return any(isinstance(layer, HardSwish) for layer in model.layers)


def _freeze_range(config: Any, layer: Any) -> None:
    """Training does not move the range of this layer's result."""
    fixed = FixedRange()
    if hasattr(config, "activation_quantizer"):
        config.activation_quantizer = fixed
    if config.get_output_quantizers(layer):
        config.get_output_quantizers = lambda layer: [fixed]


def set_ranges(wrapped: Any, ranges: Ranges) -> None:
    """Give every quantizer its range: activations as observed, kernels exactly."""
    for layer in wrapped.layers:
        name = layer.name.removeprefix(PREFIX)
        for variable in layer.weights:
            kind = variable.name.split("/")[-1].split(":")[0]
            if kind in ("output_min", "post_activation_min"):
                variable.assign(min(0.0, ranges[name][0]))
            elif kind in ("output_max", "post_activation_max"):
                variable.assign(max(1e-6, ranges[name][1]))
        # Last-value quantizers take these anew in every training step; frozen layers see none.
        for weight, quantizer, variables in getattr(layer, "_weight_vars", ()):
            size = np.abs(weight.numpy())
            channels = variables["max_var"].shape.as_list()
            if isinstance(quantizer, ClusterPreserving):
                low, high = quantizer.ranges(size, channels)
            else:  # the one axis of the kernel that has as many, the last or (depthwise) third
                high = np.maximum(size.reshape(-1, *channels).max(0), 1e-8)
                low = -high
            variables["min_var"].assign(low)
            variables["max_var"].assign(high)


def ranged(
    model: Any,
    batches: Iterable[np.ndarray],
    *,
    preserve_zeros: bool,
    clustered: Collection[str] = (),
) -> Any:
    """A network wrapped for 8 bits (see ``wrap``) with the ranges of these batches of pixels."""
    ranges = ranges_of(model, observe(model, batches))
    wrapped = wrap(model, preserve_zeros=preserve_zeros, clustered=clustered)
    set_ranges(wrapped, ranges)
    inference_norm(wrapped)
    return wrapped


def unmask(wrapped: Any) -> None:
    """Once training is over: kernels that are zero where TF-MOT's masks are need none.

    In a frozen graph each mask is a constant as large as its kernel, and the converter keeps many
    copies of it.
    """
    for layer in wrapped.layers:
        for weight, _, variables in getattr(layer, "_weight_vars", ()):
            if "sparsity_mask" in variables:
                weight.assign(weight * variables["sparsity_mask"])
                variables["sparsity_mask"] = tf.constant(1.0)


def kernels(wrapped: Any) -> dict[str, np.ndarray]:
    """The kernels of a wrapped model by the name of the layer inside."""
    return {
        layer.name.removeprefix(PREFIX): weight.numpy()
        for layer in wrapped.layers
        for weight, _, _ in getattr(layer, "_weight_vars", ())
    }


def state(model: Any) -> dict[str, np.ndarray]:
    """Every variable of a model, ranges included, by a name that tells them apart."""
    return {
        f"{layer.name}/{number}/{variable.name}": variable.numpy()
        for layer in model.layers
        for number, variable in enumerate(layer.weights)
    }
