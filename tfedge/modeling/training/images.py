"""Images as a network learns from them: decoded, changed views beside them, or with noise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.files.progress import Progress
from tfedge.inputs.images import corruptions
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import Augment
from tfedge.modeling.nets.export import float_pixels
from tfedge.modeling.training import augment, loop
from tfedge.modeling.training.features import NOISY, Item
from tfedge.modeling.training.stream import Stream, Views


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
        row, view = item
        digest = self.images.index.rows[row].sha256
        # The pixels follow from the file, the size, the fit and, for a view, the augmentation
        # or the noise, and the code that does it.
        parts: list[Any] = [digest, self.images.size, self.images.fit, view]
        if self.images.levels is not None:
            parts.append(self.images.levels)
        if view == NOISY:
            parts.append(corruptions.NOISE_VERSION)
        elif view:
            parts += [self.seed, self.augment.model_dump() if self.augment else None]
            parts.append(augment.VERSION)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

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
