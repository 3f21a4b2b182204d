"""Nets of a few layers with the patterns that backbones have, their channels of quite different
size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tiny

from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, keras
from tfedge.modeling.nets.network import HEAD, OFFSET, POOL, PixelOffset

SIZE = 16
_L = keras.layers


def images(count: int, first: int = 0) -> np.ndarray:
    """uint8 [count, 16, 16, 3]"""
    return np.stack([tiny.image(n % 3, n, SIZE) for n in range(first, first + count)])


def normed(x: Any, name: str, layer: Any, limit: float | None = 6.0, relu: bool = True) -> Any:
    """A convolution without bias, its batch norm and a rectifier."""
    layer._name = name
    x = _L.BatchNormalization(name=f"{name}_bn")(layer(x))
    return _L.ReLU(limit, name=f"{name}_relu")(x) if relu else x


def conv(width: int, side: int = 1, strides: int = 1, **more: Any) -> Any:
    return _L.Conv2D(width, side, strides, padding="same", use_bias=False, **more)


def depthwise(strides: int = 1) -> Any:
    return _L.DepthwiseConv2D(3, strides, padding="same", use_bias=False)


def built(
    body: Callable[[Any], Any], seed: int = 1, uneven: float = 20.0, even_features: bool = False
) -> Any:
    """Pixels, ``body``, pool and a head of three classes; lively, and with channels of which the
    largest reach up to ``uneven`` times as far as the smallest (``even_features``: but for those
    that the head reads, which nothing may scale)."""
    fresh(seed)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = body(PixelOffset((120.0, 110.0, 100.0), name=OFFSET)(pixels))
    x = _L.GlobalAveragePooling2D(name=POOL)(x)
    model = keras.Model(pixels, _L.Dense(3, name=HEAD)(x))
    rng = np.random.default_rng(seed)
    first = next(layer for layer in model.layers if isinstance(layer, _L.Conv2D))
    first.kernel.assign(first.kernel / 60)
    seen = images(24).astype(np.float32)
    tiny.lively(model, seen, seed)
    scaled = [pair for layer in model.layers if (pair := _scale_and_offset(layer))]
    for scale, offset in scaled[:-1] if even_features else scaled:
        sizes = np.exp(rng.uniform(-np.log(uneven), 0, offset.shape))
        scale.assign(scale * sizes)
        offset.assign(offset * sizes)
    if any(isinstance(layer, _L.BatchNormalization) for layer in model.layers):
        network.estimate_norms(model, [seen])
    network.inference_norm(model)
    head = model.get_layer(HEAD)
    features = keras.Model(pixels, model.get_layer(POOL).output)(seen).numpy()
    spread = np.maximum(features.std(0), 0.3 * features.std(0).mean())
    head.kernel.assign(
        3 * rng.normal(size=head.kernel.shape) / spread[:, None] / len(spread) ** 0.5
    )
    head.bias.assign(-features.mean(0) @ head.kernel.numpy())
    return model


def _scale_and_offset(layer: Any) -> tuple[Any, Any] | None:
    """The variables that a channel of a layer's result is proportional to."""
    if isinstance(layer, _L.BatchNormalization):
        return layer.gamma, layer.beta
    if isinstance(layer, _L.Conv2D) and layer.use_bias:
        layer.bias.assign(np.random.default_rng(len(layer.name)).uniform(0.2, 1, layer.bias.shape))
        return layer.kernel, layer.bias
    return None


def mobile_body(x: Any) -> Any:
    """As MobileNetV2: linear results that an addition joins, and expansions that read them."""
    x = normed(x, "first", conv(8, 3, 2))
    x = normed(x, "depth", depthwise())
    linear = normed(x, "project", conv(6), relu=False)
    for block in ("a", "b"):
        x = normed(linear, f"{block}_expand", conv(16))
        x = normed(x, f"{block}_depth", depthwise())
        x = normed(x, f"{block}_project", conv(6), relu=False)
        linear = _L.Add(name=f"{block}_add")([linear, x])
    return normed(linear, "last", conv(24))


def plain_body(x: Any) -> Any:
    """As VGG: biases, rectifiers without an end, and a pooling on the way."""
    for name, width in (("one", 8), ("two", 8), ("three", 12)):
        x = _L.Conv2D(width, 3, padding="same", name=name)(x)
        x = _L.ReLU(name=f"{name}_relu")(x)
        if name == "two":
            x = _L.MaxPooling2D(name="half")(x)
    return x


def residual_body(x: Any) -> Any:
    """As ResNet: rectifiers without an end behind additions."""
    x = normed(x, "stem", conv(8, 3, 2), None)
    for block, width in (("a", 8), ("b", 12)):
        short = x
        if width != 8:
            short = normed(x, f"{block}_short", conv(width, 1), relu=False)
        x = normed(x, f"{block}_one", conv(8, 1), None)
        x = normed(x, f"{block}_two", conv(width, 3), relu=False)
        x = _L.ReLU(name=f"{block}_out")(_L.Add(name=f"{block}_add")([short, x]))
    return x


BODIES = {"mobile": mobile_body, "plain": plain_body, "residual": residual_body}


def said(model: Any, layer: str, images: np.ndarray) -> np.ndarray:
    """What a layer gives for images."""
    part = keras.Model(model.input, model.get_layer(layer).get_output_at(0))
    return part(images.astype(np.float32), training=False).numpy()
