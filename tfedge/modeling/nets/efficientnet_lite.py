"""EfficientNet-Lite0 to 4: EfficientNet without squeeze-and-excite, with ReLU6, for int8.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", and
Google's EfficientNet-Lite release of 2020: the widths of stem and head and the number of blocks of
the first and the last stage are not scaled, ReLU6 replaces swish, squeeze-and-excite is gone.
Keras Applications does not have it. Every layer is one that TF-MOT's 8-bit scheme fuses
(convolution without bias, batch norm, ReLU; add).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from tfedge.modeling.nets.env import keras

SCALES: dict[str, tuple[float, float]] = {  # width, depth
    "EfficientNetLite0": (1.0, 1.0),
    "EfficientNetLite1": (1.0, 1.1),
    "EfficientNetLite2": (1.1, 1.2),
    "EfficientNetLite3": (1.2, 1.4),
    "EfficientNetLite4": (1.4, 1.8),
}

# kernel, stride, expansion, output channels, blocks: the stages of EfficientNet-B0
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280


class Bottleneck(NamedTuple):
    """One inverted bottleneck; ``name`` is its block's, such as ``block2a``."""

    name: str
    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int


def _channels(base: int, width: float) -> int:
    """``base`` scaled, to a multiple of 8 that is not more than 10 % smaller."""
    scaled = base * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def bottlenecks(name: str) -> Iterator[Bottleneck]:
    """The bottlenecks of a net in order; KeyError if there is no such net."""
    width, depth = SCALES[name]
    inputs = _STEM
    for stage, (kernel, stride, expansion, base, blocks) in enumerate(_STAGES, start=1):
        outputs = _channels(base, width)
        fixed = stage in (1, len(_STAGES))
        for i in range(blocks if fixed else math.ceil(blocks * depth)):
            block = f"block{stage}{chr(ord('a') + i)}"
            yield Bottleneck(block, kernel, stride if i == 0 else 1, expansion, inputs, outputs)
            inputs = outputs


def _bn_relu(x: Any, name: str, relu: bool = True) -> Any:
    x = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}relu")(x) if relu else x


def _conv(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=name,
    )(x)


def _bottleneck(x: Any, row: Bottleneck) -> Any:
    shortcut = x
    if row.expansion != 1:
        x = _conv(x, row.inputs * row.expansion, 1, 1, f"{row.name}_expand_conv")
        x = _bn_relu(x, f"{row.name}_expand_")
    x = keras.layers.DepthwiseConv2D(
        row.kernel,
        strides=row.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        name=f"{row.name}_dwconv",
    )(x)
    x = _bn_relu(x, f"{row.name}_dw_")
    x = _conv(x, row.outputs, 1, 1, f"{row.name}_project_conv")
    x = _bn_relu(x, f"{row.name}_project_", relu=False)
    if row.stride == 1 and row.inputs == row.outputs:
        x = keras.layers.Add(name=f"{row.name}_add")([shortcut, x])
    return x


def build(name: str, inputs: Any) -> Any:
    """The net's layers on ``inputs`` [None, S, S, 3]; the feature map [None, S/32, S/32, 1280]."""
    x = _bn_relu(_conv(inputs, _STEM, 3, 2, "stem_conv"), "stem_")
    for row in bottlenecks(name):
        x = _bottleneck(x, row)
    return _bn_relu(_conv(x, _HEAD, 1, 1, "top_conv"), "top_")
