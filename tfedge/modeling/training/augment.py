"""Random changes to training images, in TensorFlow ops, each decided by a seed of its own."""

from __future__ import annotations

import math
from typing import Any

from tfedge.inputs.images.schema import Augment
from tfedge.modeling.nets.env import tf

# Raise it when the same settings give other pixels (also by another seed in stream.py): views are
# kept by it. The versions of the stages that train rise with it (core/stages.py).
VERSION = 1


def augment(image: Any, seed: Any, settings: Augment) -> Any:
    """A changed image: uint8 [S, S, 3] in and out, ``seed`` int32 [2].

    Flip, crop, rotation and zoom are one affine map with bilinear sampling (edges mirrored), so the
    image is sampled once; brightness and contrast follow, then what a camera does to it: blur,
    noise, JPEG. The same seed gives the same image.
    """
    size = tf.cast(tf.shape(image)[0], tf.float32)
    flip, zoom, angle, crop, left, top, bright, contrast = tf.unstack(
        tf.random.stateless_uniform([8], seed, -1.0, 1.0)
    )
    angle *= settings.rotate * math.pi / 180
    # A crop of share c, drawn back to full size, looks nearer by 1 / (1 − c) and is off centre by
    # up to half of what was cut.
    cut = settings.crop * tf.abs(crop)
    scale = (1 - cut) * (1 + settings.zoom * zoom)
    room = cut * size / 2
    mirror = tf.where(flip > 0, -1.0, 1.0) if settings.flip else 1.0
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    center = (size - 1) / 2
    a, b, c, d = mirror * cos, -sin, mirror * sin, cos
    shift_x = center - (a + b) * center + room * left
    shift_y = center - (c + d) * center + room * top
    matrix = tf.stack([a, b, shift_x, c, d, shift_y, 0.0, 0.0])
    pixels = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=matrix[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0]
    mean = tf.reduce_mean(pixels, axis=[0, 1], keepdims=True)
    pixels = (pixels - mean) * (1 + settings.contrast * contrast) + mean
    pixels += settings.brightness * bright * 255
    # Numbers of their own, so that views without these changes stay what they were.
    blurred, noisy, coarse = tf.unstack(tf.random.stateless_uniform([3], _another(seed, 1)))
    if settings.blur:
        pixels = _blur(pixels, settings.blur * blurred, settings.blur)
    if settings.noise:
        normal = tf.random.stateless_normal(tf.shape(pixels), _another(seed, 2))
        pixels += settings.noise * noisy * 255 * normal
    stored = tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
    if settings.jpeg is None:
        return stored
    quality = tf.cast(tf.round(100 - (100 - settings.jpeg) * coarse), tf.int32)
    return tf.ensure_shape(tf.image.adjust_jpeg_quality(stored, quality), image.shape)


def _another(seed: Any, number: int) -> Any:
    """A seed that follows from another one, int32 [2]."""
    return tf.random.fold_in(seed, number)


def _blur(pixels: Any, sigma: Any, largest: float) -> Any:
    """A Gaussian of a standard deviation of ``sigma`` ≤ ``largest`` pixels over float32 [S, S, 3],
    edges mirrored."""
    reach = math.ceil(3 * largest)
    steps = tf.range(-reach, reach + 1, dtype=tf.float32)
    weights = tf.exp(-tf.square(steps / tf.maximum(sigma, 1e-3)) / 2)
    weights /= tf.reduce_sum(weights)
    found = tf.pad(pixels, [[reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")[None]
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, 3, 1])
        found = tf.nn.depthwise_conv2d(found, kernel, [1, 1, 1, 1], "VALID")
    return found[0]
