"""Images with boxes as a detector's examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np

from tfedge.inputs.images.annotations.index import BoxIndex, Truth
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.tasks.indexed import Indexed


class BoxedImages(Indexed):
    """The images of a run: uint8 [S, S, 3], and the ``Truth`` of each."""

    def __init__(self, images: DecodedImages) -> None:
        self.images = images

    @property
    def index(self) -> BoxIndex:
        return cast(BoxIndex, self.images.index)

    def inputs(self, rows: Sequence[int]) -> np.ndarray:
        """uint8 [n, S, S, 3] RGB."""
        return self.images.pixels(rows)

    def truth(self, row: int) -> Truth:
        """What is seen on one of them."""
        return self.index.truth(row, self.images.fit)

    def targets(self, rows: Iterable[int]) -> np.ndarray:
        """[n] of ``Truth``."""
        rows = list(rows)
        found = np.empty(len(rows), object)
        for place, row in enumerate(rows):
            found[place] = self.truth(row)
        return found

    def representative(self, count: int, seed: int, split: str = "train") -> list[int]:
        """Rows of a split at random."""
        rows = np.asarray(self.rows_of(split))
        return rows[np.random.default_rng(seed).permutation(len(rows))][:count].tolist()
