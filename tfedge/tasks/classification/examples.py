"""The examples of a classifier, of any kind, as index.json lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tfedge.tasks.indexed import Indexed


class Labelled(Indexed):
    """Examples of classes."""

    def inputs(self, rows: Sequence[int]) -> np.ndarray:
        raise NotImplementedError

    def targets(self, rows: Iterable[int]) -> np.ndarray:
        """int [n], numbers of classes."""
        return np.asarray(self.index.labels_of(rows))

    def representative(self, count: int, seed: int, split: str = "train") -> list[int]:
        """Rows of a split, evenly over the classes: one of each, in a random order, then another
        of each …"""
        rng = np.random.default_rng(seed)
        rows = np.asarray(self.rows_of(split))
        rows = rows[rng.permutation(len(rows))]
        labels = self.targets(rows.tolist())
        rank = np.empty(len(rows), np.int64)  # how many of its class come before it
        for label in np.unique(labels):
            rank[labels == label] = np.arange(np.count_nonzero(labels == label))
        return rows[np.argsort(rank, kind="stable")][:count].tolist()
