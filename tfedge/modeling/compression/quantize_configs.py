"""Which QuantizeConfig each layer of a flat network gets: what the converter will fuse.

A convolution and the batch norm behind it become one op, and so does a ReLU behind that: only the
last of the three gives a tensor that exists on the device, and only that is quantized. TF-MOT's
layout transforms do the same; they rebuild the model for each pattern, which takes ten times as
long.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from tfedge.errors import UnsupportedModel
from tfedge.modeling.compression.quantize_clusters import ClusterPreserving
from tfedge.modeling.compression.quantize_layers import KNOWN, DepthwiseQuantizer, StraightThrough
from tfedge.modeling.compression.tfmot import (
    default_8bit_quantize_configs,
    default_8bit_quantize_registry,
    prune_preserve_quantize_registry,
)
from tfedge.modeling.nets.attention import (
    AttentionScores,
    AttentionSum,
    FirstPiece,
    Gelu,
    PieceMean,
    Positions,
    SumOfSquares,
    WeightedMean,
    WordTable,
)
from tfedge.modeling.nets.divided import Divided, LeftOut, MeanOfDivided
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.layers import (
    Carrier,
    ChannelMean,
    HardSwish,
    InverseRoot,
    kernel_of,
    sources,
)

_Output = default_8bit_quantize_configs.Default8BitOutputQuantizeConfig

_FOLDING = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
# Their result has the range of what goes in: TFLite wants the same scale on both sides.
_PASSING = (
    *(keras.layers.AveragePooling2D, keras.layers.MaxPooling2D, keras.layers.ZeroPadding2D),
    *(keras.layers.Cropping2D, keras.layers.UpSampling2D, keras.layers.Reshape),
    *(FirstPiece, WordTable),
)
# An op, and a ReLU that it may fuse.
_OPS = (
    *(keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply),
    *(HardSwish, ChannelMean, InverseRoot, Gelu),
    *(SumOfSquares, AttentionScores, AttentionSum, WeightedMean, PieceMean, Positions),
    *(Divided, MeanOfDivided, LeftOut),
)


def configs_of(
    model: Any, *, preserve_zeros: bool, clustered: Collection[str] = ()
) -> dict[str, Any]:
    """TF-MOT's QuantizeConfig for each layer, by name.

    ``clustered``: layers whose kernels keep their clusters, and with them their zeros.
    Raises UnsupportedModel naming every layer that can't be trained in 8 bits.
    """
    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    sparse = prune_preserve_quantize_registry.Default8bitPrunePreserveQuantizeRegistry()
    configs: dict[str, Any] = {}
    unknown = []
    for layer in model.layers:
        before, after = neighbours(layer)
        if isinstance(layer, (keras.layers.InputLayer, *KNOWN)):
            continue
        norm = isinstance(layer, keras.layers.BatchNormalization)
        carried = norm and isinstance(before, (*_FOLDING, Carrier))
        if is_share(layer):  # TF-MOT leaves its result unrounded, the device can't
            configs[layer.name] = _Output(quantize_output=True)
        elif carried or isinstance(layer, _OPS):
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
            if layer.name in clustered:
                kernel = kernel_of(layer).numpy()
                config.weight_quantizer = ClusterPreserving(config.weight_quantizer, kernel)
            elif isinstance(layer, _FOLDING):
                axis = _channels(layer, config.weight_quantizer)
                config.weight_quantizer = StraightThrough(config.weight_quantizer, axis)
            if isinstance(layer, _FOLDING) and (
                isinstance(after, keras.layers.BatchNormalization) or _rectifies(after)
            ):
                config.activation_attrs = []
            configs[layer.name] = config
    if unknown:
        raise UnsupportedModel(
            "no 8-bit training for",
            unknown,
            "use quantize.recipe: ptq with quantize.correct: false, or another backbone",
        )
    return configs


def _channels(layer: Any, quantizer: Any) -> int | None:
    """The axis of a kernel along which TF-MOT's quantizer has a range for each index, if any."""
    if isinstance(quantizer, DepthwiseQuantizer):
        return 2
    return len(kernel_of(layer).shape) - 1 if quantizer.per_axis else None


def is_share(layer: Any) -> bool:
    """Whether its result lies between 0 and 1: LOGISTIC and SOFTMAX, which have one range in every
    file."""
    if not isinstance(layer, keras.layers.Activation):
        return False
    return layer.activation.__name__ in ("sigmoid", "softmax")


def _rectifies(layer: Any) -> bool:
    """Whether the converter fuses this layer, a ReLU, into the op before it."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation.__name__ in ("relu", "relu6")
    return isinstance(layer, keras.layers.ReLU)


def neighbours(layer: Any) -> tuple[Any, Any]:
    """The only layer before and the only layer behind, or None where there are several."""
    inbound = sources(layer)
    # A part cut out of the network puts nodes of its own between the same layers.
    outbound = list({id(n.outbound_layer): n.outbound_layer for n in layer.outbound_nodes}.values())
    return (
        inbound[0] if len(inbound) == 1 else None,
        outbound[0] if len(outbound) == 1 else None,
    )


def same_scale(model: Any) -> list[set[str]]:
    """Groups of layers whose results must have one scale, by name: a concatenation's and its parts.

    TFLite's CONCATENATION copies bytes. Parts of other scales would each be brought to its own
    first, by an op that costs time and a rounding.
    """
    groups: list[set[str]] = []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Concatenate):
            continue
        group = {layer.name} | {_source(part).name for part in sources(layer)}
        for other in [other for other in groups if other & group]:
            groups.remove(other)
            group |= other
        groups.append(group)
    return groups


def _source(layer: Any) -> Any:
    """The layer that this one's result has its range from."""
    while isinstance(layer, _PASSING):
        (layer,) = sources(layer)
    return layer
