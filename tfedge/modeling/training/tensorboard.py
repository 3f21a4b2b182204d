"""What TensorBoard shows of a training: its figures, and what it learns from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfedge.modeling.nets.env import tf
from tfedge.modeling.training.loop import Record
from tfedge.tasks.blocks import Block, Picture, Pictures

_OUTLINE = ((1.0, 1.0, 0.0),)  # yellow, RGB


def figures(folder: Path) -> Record:
    """Writes the figures of each epoch into event files in ``folder``."""
    writer = tf.summary.create_file_writer(str(folder))

    def record(epoch: int, row: dict[str, float]) -> None:
        with writer.as_default(step=epoch):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        writer.flush()

    return record


def show(folder: Path, blocks: Iterable[Block]) -> None:
    """Write the images among blocks of a report into an event file in ``folder``, outlines drawn
    in: each by its name under the title of those beside it, its caption as its description. Without
    any there is no file; an image that is missing is left out."""
    found = [
        (block.title, picture)
        for block in blocks
        if isinstance(block, Pictures)
        for picture in block.pictures
        if picture.content is not None
    ]
    if not found:
        return
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=0):
        for title, picture in found:
            tf.summary.image(
                f"{title}/{picture.name}", _outlined(picture), description=picture.caption
            )
    writer.close()


def _outlined(picture: Picture) -> Any:
    """float [1, height, width, 3] RGB, 0 to 1, with the picture's boxes."""
    pixels = tf.io.decode_jpeg(picture.content, channels=3)[None]
    images = tf.image.convert_image_dtype(pixels, tf.float32)
    if not picture.boxes:
        return images
    corners = (box.corners for box in picture.boxes)
    sides = [(top, left, bottom, right) for left, top, right, bottom in corners]
    return tf.image.draw_bounding_boxes(images, [sides], _OUTLINE)
