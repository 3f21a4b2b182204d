"""A detector: a backbone, a neck over its feature maps of strides 8, 16 and 32, and two outputs.

::

    pixels [None, S, S, 3] float32, 0–255
      pixel_offset, backbone   up to the last layer that is tapped
      detect_lateral_…         1×1 convolution and batch norm of each tap, to one width
      detect_up_…, detect_sum_…  coarse maps, doubled by copying and cropped, added to finer ones
      detect_smooth_…          one separable convolution of each sum
      detect_boxes_…, detect_scores_…  1×1 convolutions, one anchor a cell
      boxes [None, A, 4], scores [None, A, classes]   ty tx th tw, and logits

A feature pyramid (Lin et al. 2017, "Feature Pyramid Networks for Object Detection") as light as a
device wants it. Boxes and scores have outputs of their own: in one tensor of 8 bits one range would
have to hold both.
"""

from __future__ import annotations

from typing import Any

from tfedge.catalog.strides import STRIDES, taps
from tfedge.modeling.nets.backbone import Weights, assign, build_base
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import NAME, OFFSET, PixelOffset, Spec

WIDTH = 96  # channels of the neck
PREFIX = "detect_"  # of the names of all that a backbone does not have
BOXES, SCORES = "boxes", "scores"
_PRIOR = -4.0  # of all logits: nearly all anchors see nothing (Lin et al. 2017, focal loss)
_MOMENTUM = 0.9  # of the neck's batch norms: a training is a few hundred steps

_L = keras.layers


def build(spec: Spec) -> Any:
    """The network, untrained: pixels [None, S, S, 3] → boxes [None, A, 4], logits [None, A, C]."""
    pixels = keras.Input((spec.size, spec.size, 3), name="pixels")
    normal = PixelOffset(spec.mean, name=OFFSET)(pixels)
    base = keras.Model(pixels, build_base(spec.name, spec.alpha, normal))
    maps = [base.get_layer(block.output).output for block in taps(spec.name, spec.alpha)]
    maps = [_lateral(one, stride) for one, stride in zip(maps, STRIDES, strict=True)]
    for finer in reversed(range(len(maps) - 1)):
        maps[finer] = _sum(maps[finer], maps[finer + 1], STRIDES[finer])
    boxes, scores = [], []
    for one, stride in zip(maps, STRIDES, strict=True):
        seen = _separable(one, f"{PREFIX}smooth_{stride}")
        boxes.append(_output(seen, 4, f"{PREFIX}boxes_{stride}", 0.0))
        scores.append(_output(seen, spec.classes, f"{PREFIX}scores_{stride}", _PRIOR))
    outputs = [_L.Concatenate(1, name=BOXES)(boxes), _L.Concatenate(1, name=SCORES)(scores)]
    return keras.Model(pixels, outputs, name=NAME)


def load(spec: Spec, weights: Weights) -> Any:
    """The network with all its weights."""
    model = build(spec)
    assign(model, weights)
    return model


def kernels(model: Any) -> dict[str, str]:
    """The kernels of the neck, by layer, and their kinds; not those of the outputs."""
    outputs = (f"{PREFIX}boxes_", f"{PREFIX}scores_")
    return {
        layer.name: "depthwise" if isinstance(layer, _L.DepthwiseConv2D) else "conv"
        for layer in model.layers
        if isinstance(layer, (_L.Conv2D, _L.DepthwiseConv2D))
        if layer.name.startswith(PREFIX) and not layer.name.startswith(outputs)
    }


def _lateral(inputs: Any, stride: int) -> Any:
    name = f"{PREFIX}lateral_{stride}"
    seen = _L.Conv2D(WIDTH, 1, use_bias=False, name=name)(inputs)
    return _L.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")(seen)


def _sum(finer: Any, coarse: Any, stride: int) -> Any:
    """A map with what the next coarser one says of the same places."""
    doubled = _L.UpSampling2D(2, name=f"{PREFIX}up_{stride}")(coarse)
    more = doubled.shape[1] - finer.shape[1]
    if more:
        doubled = _L.Cropping2D(((0, more), (0, more)), name=f"{PREFIX}crop_{stride}")(doubled)
    return _L.Add(name=f"{PREFIX}sum_{stride}")([finer, doubled])


def _separable(inputs: Any, name: str) -> Any:
    seen = _L.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_dw")(inputs)
    seen = _L.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_dw_bn")(seen)
    seen = _L.ReLU(6.0, name=f"{name}_dw_relu")(seen)
    seen = _L.Conv2D(WIDTH, 1, use_bias=False, name=f"{name}_pw")(seen)
    seen = _L.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_pw_bn")(seen)
    return _L.ReLU(6.0, name=f"{name}_pw_relu")(seen)


def _output(inputs: Any, units: int, name: str, bias: float) -> Any:
    """[None, cells, units] of a map."""
    small = keras.initializers.RandomNormal(stddev=0.01)
    same = keras.initializers.Constant(bias)
    seen = _L.Conv2D(units, 1, kernel_initializer=small, bias_initializer=same, name=name)(inputs)
    cells = inputs.shape[1] * inputs.shape[2]
    return _L.Reshape((cells, units), name=f"{name}_flat")(seen)
