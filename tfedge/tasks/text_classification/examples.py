"""Labelled texts as a classifier's examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfedge.data.index import Index
from tfedge.inputs.text.texts import EncodedTexts, Encoding
from tfedge.tasks.classification.examples import Labelled


class LabelledTexts(Labelled):
    """The texts of a run: int32 [2, length], ids and mask, and the number of each one's class."""

    def __init__(self, texts: EncodedTexts) -> None:
        self.texts = texts

    @property
    def index(self) -> Index:
        return self.texts.index

    def read_by(self, encoding: Encoding) -> LabelledTexts:
        """The same as another vocabulary has them."""
        index = self.index.with_vocabulary(encoding.vocabulary)
        return LabelledTexts(EncodedTexts(index, self.texts.root, self.texts.cache, encoding))

    def inputs(self, rows: Sequence[int]) -> np.ndarray:
        """int32 [n, 2, length]."""
        return self.texts.ids(rows)
