"""Labelled images as a classifier's examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfedge.data.index import Index
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.tasks.classification.examples import Labelled


class LabelledImages(Labelled):
    """The images of a run: uint8 [S, S, 3], and the number of each one's class."""

    def __init__(self, images: DecodedImages) -> None:
        self.images = images

    @property
    def index(self) -> Index:
        return self.images.index

    def at(self, size: int) -> LabelledImages:
        """The same images at another size, in pixels a side."""
        here = self.images
        return LabelledImages(
            DecodedImages(here.index, here.root, here.cache, size, here.fit, here.levels)
        )

    def inputs(self, rows: Sequence[int]) -> np.ndarray:
        """uint8 [n, S, S, 3] RGB."""
        return self.images.pixels(rows)
