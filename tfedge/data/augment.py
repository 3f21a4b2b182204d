"""Random changes to training pictures, in TensorFlow ops, each decided by a seed of its own."""

from __future__ import annotations

import math
from typing import Any

from tfedge.config.schema import Augment
from tfedge.modeling.env import tf

# Raise it when the same settings give other pixels (also by another seed in data/pipeline.py): what
# is kept of views goes by it. The versions of the stages that train rise with it (core/stages.py).
VERSION = 1


def augment(image: Any, seed: Any, settings: Augment) -> Any:
    """A changed picture: uint8 [S, S, 3] in and out, ``seed`` int32 [2].

    Flip, crop, rotation and zoom are one affine map with bilinear sampling (edges mirrored), so the
    picture is sampled once; brightness and contrast follow. The same seed gives the same picture.
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
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
