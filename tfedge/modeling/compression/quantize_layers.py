"""Layers and quantizers of 8-bit training that TF-MOT does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfedge.modeling.compression.tfmot import LastValueQuantizer, MovingAverageQuantizer, Quantizer
from tfedge.modeling.nets.attention import (
    PADDING,
    PaddingMask,
    PieceIds,
    Positions,
    RepeatedPieces,
    SumOfSquares,
    WordTable,
)
from tfedge.modeling.nets.divided import Divided, LeftOut, MeanOfDivided
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.layers import Carrier, HardSigmoid, HardSwish, InverseRoot
from tfedge.modeling.nets.network import PixelOffset

PIXELS = (0.0, 255.0)  # scale 1, zero point 0 as uint8: a stored byte is a pixel
LEVELS = 127  # of a kernel, either way
# Scale 1/256 in every file: TFLite's LOGISTIC and SOFTMAX give no other.
SHARE = (0.0, 255 / 256)


class QuantizedOffset(PixelOffset):
    """``PixelOffset`` in 8 bits. Pixels have a known range, so nothing is learnt here.

    The means are stored in 8 bits, too, with one step for all three: up to a quarter of a pixel off
    (ImageNet's second and third are), which training has to see as the device will.
    """

    def call(self, inputs: Any) -> Any:
        fake = tf.quantization.fake_quant_with_min_max_args
        mean = fake(self.row(inputs), 0.0, max(*self.mean, 1.0))
        low, high = PIXELS[0] - max(self.mean), PIXELS[1] - min(self.mean)
        return fake(fake(inputs, *PIXELS) - mean, low, high)


class QuantizedCarrier(Carrier):
    """``Carrier`` in 8 bits: nothing, since the norm behind it is a convolution of its own then.

    Left to the converter, which folds the norms into the carriers' ones, two carriers of the same
    width would share one kernel (constants are unique there), and with it the first one's scales.
    """

    def call(self, inputs: Any) -> Any:
        return inputs


def as_depthwise(norm: Any) -> Callable[..., Any]:
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


def quantized_hard_sigmoid(inputs: Any) -> Any:
    """relu6(x + 3) / 6 in 8 bits: both of its ranges are known."""
    raised = tf.quantization.fake_quant_with_min_max_args(tf.nn.relu6(inputs + 3.0), 0.0, 6.0)
    return tf.quantization.fake_quant_with_min_max_args(raised * (1.0 / 6.0), 0.0, 1.0)


class QuantizedHardSigmoid(HardSigmoid):
    """``HardSigmoid`` in 8 bits."""

    def call(self, inputs: Any) -> Any:
        return quantized_hard_sigmoid(inputs)


class QuantizedHardSwish(HardSwish):
    """``HardSwish`` in 8 bits, as ADD, MUL and MUL with a range each.

    The converter would make one HARD_SWISH of it, for which LiteRT has no 8-bit kernel but a slow
    one outside XNNPACK, and which the Edge TPU does not know. Of these three XNNPACK makes one look
    at a table.
    """

    def call(self, inputs: Any) -> Any:
        return inputs * quantized_hard_sigmoid(inputs)


class QuantizedInverseRoot(InverseRoot):
    """``InverseRoot`` in 8 bits: one RSQRT, whose kernel gives the largest value for 0.

    ``epsilon`` is far below a quantum of what goes in; adding it would be an op for nothing.
    """

    def call(self, inputs: Any) -> Any:
        return _inverse_root(inputs)


@tf.custom_gradient
def _inverse_root(inputs: Any) -> Any:
    result = tf.math.rsqrt(inputs)

    def gradient(upstream: Any) -> Any:  # of 0 none, where it would be infinite
        known = tf.where(inputs > 0, inputs, 1.0)
        return tf.where(inputs > 0, -0.5 * upstream * tf.math.rsqrt(known) / known, 0.0)

    return result, gradient


class QuantizedPaddingMask(PaddingMask):
    """``PaddingMask`` in 8 bits: its two values are known."""

    def call(self, inputs: Any) -> Any:
        table = tf.constant([PADDING, 0.0])
        fake = tf.quantization.fake_quant_with_min_max_args
        return self.looked_up(inputs, fake(table, PADDING, 0.0))


def as_int8_table(layer: WordTable) -> Callable[..., Any]:
    """What a table of embeddings gives in 8 bits, with one scale for all: GATHER gives the bytes
    as they are."""
    most = float(np.abs(layer.table.numpy()).max()) or 1.0

    def call(inputs: Any, training: Any = None) -> Any:
        if training and layer.kept_in_float:
            return layer.looked_up(inputs, layer.table)
        table = tf.quantization.fake_quant_with_min_max_args(
            layer.table, -most, most, narrow_range=True
        )
        return layer.looked_up(inputs, table)

    return call


def as_int8_positions(layer: Positions) -> Callable[..., Any]:
    """``Positions`` with its table in 8 bits."""
    most = float(np.abs(layer.table.numpy()).max()) or 1.0

    def call(inputs: Any) -> Any:
        fake = tf.quantization.fake_quant_with_min_max_args
        return inputs + fake(layer.table, -most, most, narrow_range=True)

    return call


def with_int8_constant(layer: Divided | MeanOfDivided) -> Callable[..., Any]:
    """What a layer with a constant computes with it in 8 bits: with one scale, or, of a kernel, one
    for each thing that it gives."""

    def call(inputs: Any) -> Any:
        constant = layer.constant(inputs)
        if isinstance(layer, Divided):
            most = float(constant.max())
            fake = tf.quantization.fake_quant_with_min_max_args
            return layer.applied(inputs, fake(constant, -most, most, narrow_range=True))
        each = constant.max((0, 1, 2))
        fake = tf.quantization.fake_quant_with_min_max_vars_per_channel
        return layer.applied(inputs, fake(constant, -each, each, narrow_range=True))

    return call


# Layers whose ranges are known, and so need no quantizer.
KNOWN = (PixelOffset, Carrier, HardSigmoid, PieceIds, PaddingMask, RepeatedPieces)

# What layers compute in 8 bits where that is something else.
CALLS: dict[type, Callable[[Any], Callable[..., Any]]] = {
    WordTable: as_int8_table,
    Positions: as_int8_positions,
    SumOfSquares: lambda layer: layer.as_product,
    **dict.fromkeys((Divided, MeanOfDivided, LeftOut), with_int8_constant),
}

OWN: dict[type, Any] = {
    PixelOffset: QuantizedOffset,
    Carrier: QuantizedCarrier,
    HardSigmoid: QuantizedHardSigmoid,
    HardSwish: QuantizedHardSwish,
    InverseRoot: QuantizedInverseRoot,
    PieceIds: PieceIds,
    RepeatedPieces: RepeatedPieces,
    PaddingMask: QuantizedPaddingMask,
}


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


class StraightThrough(Quantizer):
    """A kernel's quantizer that computes the same as TF-MOT's while training, in less time.

    The range is the largest weight's, so that none is cut off and the gradient goes through as it
    is (Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons"). The
    op that TensorFlow has for it looks, weight by weight, for what was cut off, to no avail.
    Outside training it is that op, which the converter reads.
    """

    def __init__(self, quantizer: Any, axis: int | None) -> None:
        """``axis``: along which each index has a range of its own; None: one for all."""
        self._quantizer, self._axis = quantizer, axis

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._quantizer.build(tensor_shape, name, layer)
        return found

    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> Any:
        if not training:
            return self._quantizer(inputs, False, weights, **kwargs)
        if "sparsity_mask" in weights:
            inputs = inputs * weights["sparsity_mask"]
        others = [axis for axis in range(inputs.shape.rank) if axis != self._axis]
        most = tf.maximum(tf.reduce_max(tf.abs(inputs), others, keepdims=True), 1e-8)
        weights["max_var"].assign(tf.reshape(most, weights["max_var"].shape))
        weights["min_var"].assign(-weights["max_var"])
        step = most / LEVELS
        return inputs + tf.stop_gradient(tf.round(inputs / step) * step - inputs)

    def get_config(self) -> dict[str, Any]:
        return {}
