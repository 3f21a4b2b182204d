"""Images as a network learns from them: decoded, changed views beside them, or with noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.files.progress import Progress
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import Augment
from tfedge.modeling.nets.export import float_pixels
from tfedge.modeling.training import augment, loop
from tfedge.modeling.training.features import Item
from tfedge.modeling.training.stream import Stream, Views, record_key


@dataclass(frozen=True)
class ImageSource:
    """Images, and where what is computed of them is kept.

    ``augment`` and ``seed`` say what their views are; ``cache`` is the folder of record stores.
    """

    images: DecodedImages
    augment: Augment | None
    seed: int
    cache: Path
    progress: Progress

    def key(self, item: Item) -> str:
        """The digest an item's record goes by."""
        settings = self.augment.model_dump() if self.augment else None
        return record_key(self.images, item, [self.seed, settings, augment.VERSION])

    @property
    def views(self) -> int:
        """How many changed views of each training image there are."""
        return self.augment.views if self.augment else 0

    def beside(self, items: Sequence[Item]) -> None:
        return None

    def inputs(self, items: Sequence[Item]) -> Views:
        return Views(self.images, items, self.augment, self.seed)

    def stream(
        self,
        rows: Sequence[int],
        learning_targets: loop.LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        noise: loop.Noise | None = None,
    ) -> Stream:
        """Training batches of what is not kept: images changed anew in each epoch."""
        targets, seed = learning_targets, self.seed
        return Stream(self.images, rows, self.augment, targets, weights, batch_size, seed, noise)

    def converted(self, model: Any) -> bytes:
        """A float .tflite of a network's lower part, from images as they are stored."""
        return float_pixels(model, self.images.size)
