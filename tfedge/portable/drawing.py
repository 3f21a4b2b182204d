"""The boxes that a detector has found on a photo, in the photo's own pixels, and drawn into it."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from tfedge.portable.dropped import shown
from tfedge.portable.images import upright
from tfedge.portable.levels import in_eight_bits, is_deep

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def canvas(data: bytes, levels: Sequence[int] | None) -> Any:
    """A photo of these bytes as Pillow has it, RGB and upright, in its full size; of 16 bits a
    channel with the ``levels``, if any, that the model sees. BadImage."""
    return upright(in_eight_bits(data, levels) if levels and is_deep(data) else data)


def in_pixels(boxes: Any, size: Sequence[int], fit: str) -> Any:
    """x1 y1 x2 y2 in pixels of an image of that width and height, [n, 4], inside of it.

    ``boxes`` [n, 4 or more] are shares of what the model sees of the image by ``fit``."""
    width, height = size
    left = top = 0
    wide, high = width, height
    if fit != "stretch":
        wide = high = min(size) if fit == "crop" else max(size)
        left, top = (width - wide) // 2, (height - high) // 2
    found = boxes[:, :4] * [wide, high, wide, high] + [left, top, left, top]
    return np.clip(found, 0, [width, height, width, height])


def draw_boxes(image: Any, places: Any, boxes: Any, classes: Sequence[str]) -> None:
    """Draw boxes with their classes and scores into an image.

    ``places`` [n, 4] are in its pixels, ``boxes`` [n, 6] as ``detections`` gives them."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(image)
    wide = max(1, min(image.size) // 200)
    for place, row in zip(places.tolist(), boxes.tolist()):
        number = int(row[5])
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle([round(side) for side in place], outline=colour, width=wide)
        text = shown(classes[number]).encode("ascii", "replace").decode()
        pen.text((place[0] + wide + 1, place[1] + wide), f"{text} {row[4]:.2f}", fill=colour)
