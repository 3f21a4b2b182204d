"""Texts as a network learns from them: their ids, as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.files.progress import Progress
from tfedge.inputs.text.corruptions import gaps
from tfedge.inputs.text.texts import EncodedTexts
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import freeze, to_tflite
from tfedge.modeling.training import loop
from tfedge.modeling.training.features import NOISY, Item


@dataclass(frozen=True)
class TextSource:
    """Texts, and where what is computed of them is kept: ``cache`` is the folder of record
    stores. An item goes by its ids: texts that become the same ids are computed once. ``masked``:
    a part above a frozen one reads the mask."""

    texts: EncodedTexts
    seed: int
    cache: Path
    progress: Progress
    masked: bool = True

    views = 0

    def ids(self, item: Item) -> np.ndarray:
        """int32 [2, length] of a text as it is, or of its ``NOISY`` view, which has gaps: the same
        every time."""
        row, view = item
        (found,) = self.texts.ids([row])
        if view != NOISY:
            return np.asarray(found)
        seed = int(self.texts.index.rows[row].sha256[:15], 16)
        return gaps(found, seed, self.texts.encoding.kind.marks)

    def key(self, item: Item) -> str:
        return hashlib.sha256(self.ids(item).tobytes()).hexdigest()

    def inputs(self, items: Sequence[Item]) -> Ids:
        return Ids(self, items)

    def beside(self, items: Sequence[Item]) -> loop.Gather | None:
        """The mask, float32 [n, 1, length, 1]."""
        if not self.masked:
            return None

        def masks(at: np.ndarray) -> np.ndarray:
            found = [self.ids(items[position])[1] for position in at]
            return np.asarray(found, np.float32)[:, None, :, None]

        return masks

    def stream(
        self,
        rows: Sequence[int],
        learning_targets: loop.LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        noise: loop.Noise | None = None,
    ) -> loop.Batches:
        """Texts as they are, each once an epoch."""

        def ids(at: np.ndarray) -> np.ndarray:
            return self.texts.ids([rows[position] for position in at]).astype(np.float32)

        every = np.arange(len(rows))
        return loop.Memory(
            ids, lambda rng: every, learning_targets, weights, batch_size, self.seed, noise
        )

    def converted(self, model: Any) -> bytes:
        shape = (2, self.texts.encoding.length)
        return to_tflite(
            freeze(lambda packed: model(packed, training=False), shape, tf.int32), signature=False
        )


class Ids:
    """int32 [2, length] of texts, with a length, one after the other: what the LiteRT runner
    takes."""

    def __init__(self, source: TextSource, items: Sequence[Item]) -> None:
        self._source, self._items = source, items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._source.ids, self._items)
