"""Pictures made harder, as a camera in the field does, to see what is left of the accuracy."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Protocol

import numpy as np
from PIL import Image, ImageFilter

# The mildest severity of each in Hendrycks and Dietterich 2019, "Benchmarking Neural Network
# Robustness to Common Corruptions and Perturbations" (ImageNet-C), section 3 and its code.
_NOISE = 0.08  # standard deviation, as a share of the range
_CONTRAST = 0.4
_BRIGHTNESS = 0.1  # added to the V of HSV
_BLUR = 1.0  # standard deviation in pixels
_QUALITY = 25  # of JPEG


class Source(Sized, Protocol):
    """Pictures, uint8 [S, S, 3], one after the other."""

    def __iter__(self) -> Iterator[np.ndarray]: ...


def _stored(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _noise(pixels: np.ndarray, number: int) -> np.ndarray:
    noise = np.random.default_rng(number).normal(0.0, _NOISE * 255, pixels.shape)
    return _stored(pixels + noise)


def _blur(pixels: np.ndarray, number: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(_BLUR)))


def _bright(pixels: np.ndarray, number: int) -> np.ndarray:
    value = pixels.max(axis=-1, keepdims=True) / 255.0
    # Colours keep hue and saturation when all three channels grow by one factor; black has none.
    factor = np.minimum(value + _BRIGHTNESS, 1.0) / np.maximum(value, 1e-9)
    grey = np.broadcast_to(_BRIGHTNESS * 255, pixels.shape)
    return _stored(np.where(value > 0, pixels * factor, grey))


def _contrast(pixels: np.ndarray, number: int) -> np.ndarray:
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    return _stored((pixels - mean) * _CONTRAST + mean)


def _jpeg(pixels: np.ndarray, number: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


CORRUPTIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "noise": _noise,
    "blur": _blur,
    "brightness": _bright,
    "contrast": _contrast,
    "jpeg": _jpeg,
}


class Corrupted:
    """The pictures of ``source``, each made harder in one way: the same every time."""

    def __init__(self, source: Source, corruption: str, seeds: Sequence[int]) -> None:
        self._source, self._change, self._seeds = source, CORRUPTIONS[corruption], seeds

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[np.ndarray]:
        for pixels, seed in zip(self._source, self._seeds, strict=True):
            yield self._change(pixels, seed)
