"""The examples of a classifier, of any kind, as index.json lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfedge.data.index import Index


class Labelled:
    """Examples of classes: what follows from the index alone."""

    @property
    def index(self) -> Index:
        raise NotImplementedError

    @property
    def classes(self) -> tuple[str, ...]:
        return self.index.classes

    @property
    def digest(self) -> str:
        return self.index.digest

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """By split and class."""
        return self.index.counts

    def rows_of(self, split: str) -> list[int]:
        return self.index.rows_of(split)

    def has(self, split: str) -> bool:
        return self.index.has(split)

    def keys(self, rows: Iterable[int]) -> list[str]:
        return self.index.keys(rows)

    def names(self, rows: Iterable[int]) -> list[str]:
        """Paths relative to the data root."""
        return [self.index.rows[row].path for row in rows]

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
