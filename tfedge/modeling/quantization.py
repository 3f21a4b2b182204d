"""Quantization-aware training with TF-MOT: wrapping, ranges, and what must not move.

TF-MOT wraps every layer for 8 bits. Its ranges start at ±6 and follow the training batches by a
thousandth a step, so a short fine-tune would never find them, and the frozen part, which sees no
training at all, would keep ±6. Here every range is set from training pictures before anything
trains. What trains is a model cut out of the wrapped one: the frozen part is not in it, so nothing
in it can move.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tfedge.errors import UnsupportedModel
from tfedge.modeling.env import keras, tf
from tfedge.modeling.layers import Carrier, HardSigmoid, HardSwish
from tfedge.modeling.network import PixelOffset
from tfedge.modeling.tfmot import (
    LastValueQuantizer,
    MovingAverageQuantizer,
    default_8bit_quantize_configs,
    default_8bit_quantize_registry,
    prune_preserve_quantize_registry,
    quantize_wrapper,
)

_Output = default_8bit_quantize_configs.Default8BitOutputQuantizeConfig

Ranges = dict[str, tuple[float, float]]  # layer → smallest and largest value it gives

PREFIX = "quant_"  # before the names of wrapped layers, as TF-MOT has it
PIXELS = (0.0, 255.0)  # scale 1, zero point 0 as uint8: a stored byte is a pixel

_FOLDING = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
# Their result has the range of what goes in: TFLite wants the same scale on both sides.
_PASSING = (
    *(keras.layers.AveragePooling2D, keras.layers.MaxPooling2D, keras.layers.ZeroPadding2D),
    *(keras.layers.Cropping2D, keras.layers.Reshape),
)
_JOINING = (keras.layers.Add, keras.layers.Multiply, HardSwish)  # an op, and a ReLU it may fuse


class QuantizedOffset(PixelOffset):
    """``PixelOffset`` in 8 bits. Pixels have a known range, so nothing is learnt here."""

    def call(self, inputs: Any) -> Any:
        pixels = tf.quantization.fake_quant_with_min_max_args(inputs, *PIXELS)
        low, high = PIXELS[0] - max(self.mean), PIXELS[1] - min(self.mean)
        return tf.quantization.fake_quant_with_min_max_args(super().call(pixels), low, high)


class QuantizedCarrier(Carrier):
    """``Carrier`` in 8 bits: nothing, since the norm behind it is a convolution of its own then.

    Left to the converter, which folds the norms into the carriers' ones, two carriers of the same
    width would share one kernel (constants are unique there), and with it the first one's scales.
    """

    def call(self, inputs: Any) -> Any:
        return inputs


def _as_depthwise(norm: Any) -> Callable[..., Any]:
    """What a batch norm computes from its statistics, as a 1×1 depthwise convolution in 8 bits."""

    def call(inputs: Any, training: Any = None) -> Any:
        kernel = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        kernel = kernel * norm.gamma if norm.gamma is not None else kernel
        offset = -norm.moving_mean * kernel
        offset = offset + norm.beta if norm.beta is not None else offset
        most = tf.stop_gradient(tf.maximum(tf.abs(kernel), 1e-8))  # a scale for each channel
        stored = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel[None, None, None], -most, most, narrow_range=True
        )
        filters = tf.reshape(stored, (1, 1, -1, 1))
        carried = tf.nn.depthwise_conv2d(inputs, filters, [1, 1, 1, 1], padding="VALID")
        return tf.nn.bias_add(carried, offset)

    return call


class QuantizedHardSigmoid(HardSigmoid):
    """``HardSigmoid`` in 8 bits: both of its ranges are known."""

    def call(self, inputs: Any) -> Any:
        raised = tf.quantization.fake_quant_with_min_max_args(tf.nn.relu6(inputs + 3.0), 0.0, 6.0)
        return tf.quantization.fake_quant_with_min_max_args(raised * (1.0 / 6.0), 0.0, 1.0)


_OWN = {PixelOffset: QuantizedOffset, Carrier: QuantizedCarrier, HardSigmoid: QuantizedHardSigmoid}


class FixedRange(MovingAverageQuantizer):
    """A range that training does not move: several tensors share it (see ``same_scale``)."""

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)

    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> Any:
        return super().__call__(inputs, False, weights, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {}


class DepthwiseQuantizer(LastValueQuantizer):
    """A range for each channel of a depthwise kernel [H, W, C, 1].

    TF-MOT takes the last axis for the channels of every kernel, which leaves depthwise ones with a
    single range for all of them, while the device has one for each.
    """

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return self._add_range_weights(layer, name, True, (tensor_shape[-2],))

    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> Any:
        channels_last = tf.transpose(inputs, (0, 1, 3, 2))
        channels_last = super().__call__(channels_last, training, weights, **kwargs)
        return tf.transpose(channels_last, (0, 1, 3, 2))

    def get_config(self) -> dict[str, Any]:
        return {}


def _configs(model: Any, *, preserve_zeros: bool) -> dict[str, Any]:
    """TF-MOT's QuantizeConfig for each layer, fused as the TFLite converter will fuse them.

    A convolution and the batch norm behind it become one op, and so does a ReLU behind that: only
    the last of the three gives a tensor that exists on the device, and only that is quantized.
    This is what TF-MOT's layout transforms do; they rebuild the model for each pattern, which
    takes ten times as long. Raises UnsupportedModel naming every layer that can't be done.
    """
    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    sparse = prune_preserve_quantize_registry.Default8bitPrunePreserveQuantizeRegistry()
    configs: dict[str, Any] = {}
    unknown = []
    for layer in model.layers:
        before, after = _neighbours(layer)
        if isinstance(layer, (keras.layers.InputLayer, *_OWN)):
            continue
        norm = isinstance(layer, keras.layers.BatchNormalization)
        carried = norm and isinstance(before, (*_FOLDING, Carrier))
        if carried or isinstance(layer, _JOINING):
            configs[layer.name] = _Output(quantize_output=not _rectifies(after))
        elif isinstance(layer, _PASSING):
            configs[layer.name] = _Output(quantize_output=False)
        elif not registry.supports(layer):
            unknown.append(f"{layer.name} ({type(layer).__name__})")
        else:
            config = copy.copy(registry.get_quantize_config(layer))
            if preserve_zeros and isinstance(layer, _FOLDING):
                config = sparse.apply_sparsity_preserve_quantize_config(layer, config)
            if isinstance(layer, keras.layers.DepthwiseConv2D) and layer.depth_multiplier == 1:
                config.weight_quantizer = DepthwiseQuantizer()
            if isinstance(layer, _FOLDING) and (
                isinstance(after, keras.layers.BatchNormalization) or _rectifies(after)
            ):
                config.activation_attrs = []
            configs[layer.name] = config
    if unknown:
        raise UnsupportedModel(
            "no 8-bit training for",
            unknown,
            "use quantize.recipe: ptq, or another backbone",
        )
    return configs


def _rectifies(layer: Any) -> bool:
    """Whether the converter fuses this layer, a ReLU, into the op before it."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation.__name__ in ("relu", "relu6")
    return isinstance(layer, keras.layers.ReLU)


def _neighbours(layer: Any) -> tuple[Any, Any]:
    """The only layer before and the only layer behind, or None where there are several."""
    inbound = tf.nest.flatten(layer.inbound_nodes[0].inbound_layers) if layer.inbound_nodes else []
    # A part cut out of the network puts nodes of its own between the same layers.
    outbound = list({id(n.outbound_layer): n.outbound_layer for n in layer.outbound_nodes}.values())
    return (
        inbound[0] if len(inbound) == 1 else None,
        outbound[0] if len(outbound) == 1 else None,
    )


@tf.autograph.experimental.do_not_convert  # TF-MOT's layers have nothing to convert
def wrap(model: Any, *, preserve_zeros: bool) -> Any:
    """A flat network with every layer wrapped by TF-MOT for 8 bits; its layers live on inside.

    The one given is not to be used any more: a wrapped layer computes with quantized kernels.
    ``preserve_zeros``: zero weights stay zero (TF-MOT's prune-preserving scheme).
    Raises UnsupportedModel naming the layers that can't be trained in 8 bits.
    """
    # TF-MOT's prune-preserving scheme passes over layers that are not trainable. What is trainable
    # now stays among a wrapper's trainable weights: inference_norm holds batch norm's statistics
    # afterwards, but gamma and beta train. That is sound: on held statistics batch norm is the same
    # scale and shift in training and in the file, folded into kernels with a range a channel.
    for layer in model.layers:
        layer.trainable = True
    configs = _configs(model, preserve_zeros=preserve_zeros)
    for name in {name for group in same_scale(model) for name in group}:
        _hold(configs[name], model.get_layer(name))

    def wrapped(layer: Any) -> Any:
        if own := _OWN.get(type(layer)):
            return own.from_config({**layer.get_config(), "name": PREFIX + layer.name})
        if isinstance(_neighbours(layer)[0], Carrier):
            layer.call = _as_depthwise(layer)
        return quantize_wrapper.QuantizeWrapperV2(layer, configs[layer.name], name_prefix=PREFIX)

    return keras.models.clone_model(model, clone_function=wrapped)


def same_scale(model: Any) -> list[set[str]]:
    """Groups of layers whose results must have one scale, by name: a concatenation's and its parts.

    TFLite's CONCATENATION copies bytes. Parts of other scales would each be brought to its own
    first, by an op that costs time and a rounding.
    """
    groups: list[set[str]] = []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Concatenate):
            continue
        parts = tf.nest.flatten(layer.inbound_nodes[0].inbound_layers)
        group = {layer.name} | {_source(part).name for part in parts}
        for other in [other for other in groups if other & group]:
            groups.remove(other)
            group |= other
        groups.append(group)
    return groups


def _source(layer: Any) -> Any:
    """The layer that this one's result has its range from."""
    while isinstance(layer, _PASSING):
        (layer,) = tf.nest.flatten(layer.inbound_nodes[0].inbound_layers)
    return layer


def _hold(config: Any, layer: Any) -> None:
    """Training does not move the range of this layer's result."""
    fixed = FixedRange()
    if hasattr(config, "activation_quantizer"):
        config.activation_quantizer = fixed
    if config.get_output_quantizers(layer):
        config.get_output_quantizers = lambda layer: [fixed]


def observe(model: Any, batches: Iterable[np.ndarray]) -> Ranges:
    """The range of each quantized output, over batches of float32 pixels [B, S, S, 3].

    Mean over the batches of each batch's extremes, which is what a moving average would settle
    on, and which a single odd picture can't stretch.
    """
    configs = _configs(model, preserve_zeros=False)
    named = [
        layer
        for layer in model.layers
        if layer.name in configs
        and (
            configs[layer.name].get_output_quantizers(layer)
            or configs[layer.name].get_activations_and_quantizers(layer)
        )
    ]
    outputs = keras.Model(model.input, [layer.get_output_at(0) for layer in named])

    @tf.function(autograph=False)
    def extremes(pixels: Any) -> Any:
        values = outputs(pixels, training=False)
        return tf.stack([[tf.reduce_min(v), tf.reduce_max(v)] for v in values])

    found = np.mean([extremes(batch).numpy() for batch in batches], axis=0)
    ranges = {
        layer.name: (float(lo), float(hi)) for layer, (lo, hi) in zip(named, found, strict=True)
    }
    for group in same_scale(model):
        lows, highs = zip(*(ranges[name] for name in group), strict=True)
        ranges |= dict.fromkeys(group, (min(lows), max(highs)))
    return ranges


def set_ranges(wrapped: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
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
        for weight, _, variables in getattr(layer, "_weight_vars", ()):
            size = np.abs(weight.numpy())
            channels = variables["max_var"].shape.as_list()
            if (
                channels
            ):  # the one axis of the kernel that has as many, the last or (depthwise) third
                size = size.reshape(-1, *channels)
            most = size.max(0) if channels else size.max()
            most = np.maximum(most, 1e-8)
            variables["min_var"].assign(-most)
            variables["max_var"].assign(most)


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
