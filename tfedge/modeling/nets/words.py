"""The network of the mean of word vectors: ids and mask in, logits out, one flat graph.

::

    packed [None, 2, S] int32: the ids of S pieces, and 1 for a piece, 0 for padding
      ids          the pieces between a text's two marks, again and again: [None, S - 2]
      words        their vectors
      pool         the mean of these
      logits       dense, one unit a class

(Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification".) A mean of shares, as an
encoder's pool, would be lost in 8 bits: 1/200 is one step of 1/256, or two. The mean of a text that
is repeated until S - 2 pieces are full is one MEAN, which adds bytes as integers and rounds once.
The last repetition may be cut, so that some pieces count once more than others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfedge.modeling.nets.attention import PieceMean, RepeatedPieces, WordTable
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import HEAD, NAME, POOL
from tfedge.modeling.nets.text_base import WordsBase

TABLE = "words"
SPREAD = 0.1  # standard deviation of a table before it is trained, whatever encoder it is of


def build(base: WordsBase, classes: int) -> Any:
    """The network, untrained: packed [None, 2, S] int32 → logits [None, classes]."""
    packed = keras.Input((2, base.length), name="packed", dtype="int32")
    pieces = RepeatedPieces(name="ids")(packed)
    vectors = WordTable(base.pieces, base.embedding, name=TABLE)(pieces)
    pooled = PieceMean(name=POOL)(vectors)
    return keras.Model(packed, keras.layers.Dense(classes, name=HEAD)(pooled), name=NAME)


def projected(table: np.ndarray, dimensions: int) -> np.ndarray:
    """Of embeddings [V, H] the first principal components, float32 [V, dimensions], with a spread
    of ``SPREAD`` over all. The largest weight of each component is positive."""
    centred = table.astype(np.float64) - table.mean(0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :dimensions]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(dimensions)])
    found = centred @ axes
    return (found * (SPREAD / max(float(found.std()), 1e-12))).astype(np.float32)
