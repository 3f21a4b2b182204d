"""The images of a run as arrays, and what a .tflite says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfedge.data.index import Index
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.tflite.runtime import LiteRT, Port, predict

HARDER = ("noise", "contrast")
HARDER_MOST = 300  # images that are made harder, at most
CALIBRATION = 128
WHOLE = (0, 255)  # how far pixels reach


class Stored:
    """Images as the input of a file stores them: uint8 as they are where it takes pixels."""

    def __init__(self, images: np.ndarray, port: Port) -> None:
        self._images, self._port = images, port

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[np.ndarray]:
        for pixels in self._images:
            yield stored(pixels, self._port)


def stored(pixels: np.ndarray, port: Port) -> np.ndarray:
    """uint8 pixels in an input's own scale and type."""
    if port.dtype == np.uint8 or not port.scale:  # tfedge's bytes are pixels; so are floats
        return pixels
    kind = np.iinfo(port.dtype)
    steps = np.rint(pixels / np.float32(port.scale)) + port.zero_point
    return np.clip(steps, kind.min, kind.max).astype(port.dtype)


def scores(file: Path, images: np.ndarray) -> np.ndarray:
    """What the file says of each image, float32 [n, outputs]."""
    (port,) = LiteRT(file).inputs()
    return predict(file, Stored(images, port))


@dataclass(frozen=True)
class Photos:
    """The images of one set in one split at one size, as a run's index lists them."""

    index: Index
    images: DecodedImages

    @classmethod
    def of(cls, run: Path, root: Path, cache: Path, size: int) -> Photos:
        index = Index.load(run / "data" / "index.json")
        return cls(index, DecodedImages(index, root, cache, size, "crop"))

    def pixels(self, split: str) -> np.ndarray:
        return self.images.pixels(self.index.rows_of(split))

    def labels(self, split: str) -> np.ndarray:
        return np.asarray(self.index.labels_of(self.index.rows_of(split)))

    def harder(self, how: str) -> tuple[np.ndarray, np.ndarray]:
        """Test images made harder as tfedge's evaluate stage does it, and their labels."""
        rows = self.index.rows_of("test")
        rows = rows[:: -(-len(rows) // HARDER_MOST)]
        seeds = [int(self.index.rows[row].sha256[:15], 16) for row in rows]
        labels = np.asarray(self.index.labels_of(rows))
        clean, change = self.images.pixels(rows), CORRUPTIONS[how]
        return np.stack([change(*one) for one in zip(clean, seeds, strict=True)]), labels

    def calibration(self, seed: int) -> np.ndarray:
        """The training images that tfedge calibrates with, the first one told how far pixels
        reach, as there."""
        rows = balanced(self.index, CALIBRATION, seed)
        pixels = self.images.pixels(rows).copy()
        pixels[0, 0, :2] = [[WHOLE[0]], [WHOLE[1]]]
        return pixels


def balanced(index: Index, count: int, seed: int) -> list[int]:
    """Rows of training images, evenly over the classes: tfedge's choice for the same seed."""
    rng = np.random.default_rng(seed)
    rows = np.asarray(index.rows_of("train"))
    rows = rows[rng.permutation(len(rows))]
    labels = np.asarray(index.labels_of(rows.tolist()))
    rank = np.empty(len(rows), np.int64)  # how many of its class come before it
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.count_nonzero(labels == label))
    chosen: list[int] = rows[np.argsort(rank, kind="stable")][:count].tolist()
    return chosen
