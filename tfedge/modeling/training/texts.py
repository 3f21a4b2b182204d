"""Texts as a network learns from them: their ids, as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import UnsupportedModel
from tfedge.files.progress import Progress
from tfedge.inputs.text.texts import EncodedTexts
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import freeze, to_tflite
from tfedge.modeling.training import loop
from tfedge.modeling.training.features import Item


@dataclass(frozen=True)
class TextSource:
    """Texts, and where what is computed of them is kept: ``cache`` is the folder of record
    stores. An item goes by its ids: texts that become the same ids are computed once."""

    texts: EncodedTexts
    seed: int
    cache: Path
    progress: Progress

    views = 0

    def key(self, item: Item) -> str:
        ids = self.texts.ids([item[0]])
        return hashlib.sha256(ids.tobytes()).hexdigest()

    def inputs(self, items: Sequence[Item]) -> Ids:
        return Ids(self.texts, [row for row, _ in items])

    def stream(
        self,
        rows: Sequence[int],
        learning_targets: loop.LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        noise: loop.Noise | None = None,
    ) -> loop.Batches:
        raise UnsupportedModel(
            "all of an encoder can't train", [], "finetune.unfreeze: none, or some of its layers"
        )

    def converted(self, model: Any) -> bytes:
        shape = (2, self.texts.encoding.length)
        return to_tflite(
            freeze(lambda packed: model(packed, training=False), shape, tf.int32), signature=False
        )


class Ids:
    """int32 [2, length] of texts, with a length, one after the other: what the LiteRT runner
    takes."""

    def __init__(self, texts: EncodedTexts, rows: Sequence[int]) -> None:
        self._texts, self._rows = texts, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self._texts.ids(self._rows))
