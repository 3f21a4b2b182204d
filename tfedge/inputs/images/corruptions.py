"""Images made harder, as a camera in the field does, to see what is left of the accuracy."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

# The mildest severity of each in Hendrycks and Dietterich 2019, "Benchmarking Neural Network
# Robustness to Common Corruptions and Perturbations" (ImageNet-C), section 3 and its code.
_NOISE = 0.08  # standard deviation, as a share of the range
_CONTRAST = 0.4
_BRIGHTNESS = 0.1  # added to the V of HSV
_BLUR = 1.0  # standard deviation in pixels
_QUALITY = 25  # of JPEG


# Raise it when "noise" gives other pixels: what is computed of them is kept.
NOISE_VERSION = 1

_LEVELS = np.arange(256)


def _stored(values: np.ndarray) -> np.ndarray:
    """Float values, which may be overwritten, as uint8."""
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)


def _noise(pixels: np.ndarray, number: int) -> np.ndarray:
    noise = np.random.default_rng(number).standard_normal(pixels.shape)
    noise *= _NOISE * 255
    noise += pixels
    return _stored(noise)


def _blur(pixels: np.ndarray, number: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(_BLUR)))


def _brighter() -> np.ndarray:
    """What becomes of a channel, uint8 [256, 256]: by V, the largest of the three, and its own."""
    value = _LEVELS[:, None] / 255.0
    # Colours keep hue and saturation when all three channels grow by one factor; black has none.
    factor = np.minimum(value + _BRIGHTNESS, 1.0) / np.maximum(value, 1e-9)
    return _stored(np.where(value > 0, _LEVELS * factor, _BRIGHTNESS * 255))


_BRIGHTER = _brighter().ravel()


def _bright(pixels: np.ndarray, number: int) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels, -1, 0)
    value = np.maximum(np.maximum(red, green), blue).astype(np.intp)
    return _BRIGHTER.take((value * 256)[..., None] + pixels)


def _contrast(pixels: np.ndarray, number: int) -> np.ndarray:
    mean = pixels.mean(axis=(0, 1))
    changed = _stored((_LEVELS[:, None] - mean) * _CONTRAST + mean)  # [256, 3]
    channels = [changed[:, channel].take(pixels[..., channel]) for channel in range(3)]
    return np.stack(channels, axis=-1)


def _jpeg(pixels: np.ndarray, number: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


# Each is given uint8 [S, S, 3] and a number that decides what is random in it.
CORRUPTIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "noise": _noise,
    "blur": _blur,
    "brightness": _bright,
    "contrast": _contrast,
    "jpeg": _jpeg,
}
