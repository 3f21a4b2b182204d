"""Examples as index.json lists them: what follows from the index alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tfedge.data.index import Index


class Indexed:
    """Examples of an index."""

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
        """By split and class: of what the index counts."""
        return self.index.counts

    def rows_of(self, split: str) -> list[int]:
        return self.index.rows_of(split)

    def has(self, split: str) -> bool:
        return self.index.has(split)

    def labels(self, rows: Iterable[int]) -> list[str]:
        """What is said of each, as a listing has it."""
        return [self.index.said_of(row) for row in rows]

    def keys(self, rows: Iterable[int]) -> list[str]:
        return self.index.keys(rows)

    def names(self, rows: Iterable[int]) -> list[str]:
        """Paths relative to the data root."""
        return [self.index.rows[row].path for row in rows]
