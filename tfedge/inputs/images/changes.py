"""Changed views of images with boxes: mirrored, near or far, of another contrast and brightness.

What a view is follows from numbers alone, so that its boxes can be had without its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tfedge.inputs.images.schema import BoxAugment

VERSION = 1  # rises when the same numbers give other pixels or boxes: both are kept
_LEAST = 3.0  # pixels of a box's shorter side, below which a view has it no more


@dataclass(frozen=True)
class Change:
    """``left``, ``top``, ``width`` and ``height`` are the window that is seen, in shares of the
    image; beyond the image is its mean colour."""

    mirrored: bool
    upside_down: bool
    left: float
    top: float
    width: float
    height: float
    contrast: float  # a factor
    brightness: float  # added, of 255

    @classmethod
    def drawn(cls, settings: BoxAugment, seed: list[int]) -> Change:
        """By chance; the same for the same seed."""
        random = np.random.default_rng(seed)
        mirrored, upside_down = random.random(2) < 0.5
        near, far = 1 - settings.zoom_in, 1 + settings.zoom_out
        width, height = random.uniform(near, far, 2)
        left, top = random.uniform(0, 1, 2) * (1 - np.array([width, height]))
        spread = 1 + settings.contrast
        contrast = random.uniform(1 / spread, spread)
        brightness = 255 * settings.brightness * random.uniform(-1, 1)
        return cls(
            bool(mirrored) and settings.flip,
            bool(upside_down) and settings.flip_vertical,
            *map(float, (left, top, width, height, contrast, brightness)),
        )

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """The view of an image, uint8 [S, S, 3]."""
        size = len(image)
        image = image[:, ::-1] if self.mirrored else image
        image = image[::-1] if self.upside_down else image
        window = (self.left, self.top, self.left + self.width, self.top + self.height)
        mean = image.reshape(-1, 3).mean(0)
        seen = Image.fromarray(np.ascontiguousarray(image)).transform(
            (size, size),
            Image.Transform.EXTENT,
            [side * size for side in window],
            Image.Resampling.BILINEAR,
            fillcolor=(int(mean[0]), int(mean[1]), int(mean[2])),
        )
        found = np.asarray(seen, np.float32)
        middle = found.mean()
        found = (found - middle) * self.contrast + middle + self.brightness
        return np.clip(np.rint(found), 0, 255).astype(np.uint8)

    def boxes(self, boxes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The boxes [m, 4] that the view has of an image's [n, 4], and which these are, int [m].

        A box stays if its middle is seen, and is cut off where the view ends."""
        if self.mirrored:
            boxes = boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
        if self.upside_down:
            boxes = boxes[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]
        corner, window = [self.left, self.top] * 2, [self.width, self.height] * 2
        boxes = (boxes - corner) / window
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        boxes = np.clip(boxes, 0, 1)
        seen = ((middle > 0) & (middle < 1)).all(1)
        seen &= (boxes[:, 2:] - boxes[:, :2]).min(1, initial=1.0) * size > _LEAST
        return boxes[seen].astype(np.float32), np.flatnonzero(seen)
