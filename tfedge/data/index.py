"""The index: which examples there are, of which class, in which split. Later stages read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json, sha256_json, write_text
from tfedge.files.once import Once
from tfedge.portable.pieces import Vocabulary
from tfedge.portable.wordpiece import WordPiece

SPLITS = ("train", "val", "test")


class Row(NamedTuple):
    """One example: ``label`` is a place in ``Index.classes``, ``sha256`` that of its file."""

    path: str  # relative to the data root, "/" between folders
    label: int
    split: str  # train | val | test
    sha256: str


@dataclass(frozen=True)
class Index:
    """All examples, sorted by path. A *row number* is a place in ``rows``."""

    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    split_from: str  # folders | content hash | csv
    pieces: tuple[str, ...] = ()  # of a vocabulary, by which texts become ids
    cased: bool = False  # they know upper case and accents
    kept: tuple[int, ...] = ()  # which of an encoder's own pieces they are; empty: all of them
    tokenizer: str = WordPiece.name
    merges: tuple[str, ...] = ()  # of pieces, where the tokenizer merges them

    @property
    def vocabulary(self) -> Vocabulary:
        """By which texts become ids."""
        return Vocabulary(self.tokenizer, self.pieces, not self.cased, self.merges)

    def with_vocabulary(self, vocabulary: Vocabulary, kept: tuple[int, ...] = ()) -> Index:
        """The same, its texts read by other pieces; ``kept``: which of an encoder's own they
        are."""
        return replace(
            self,
            pieces=tuple(vocabulary.pieces),
            cased=not vocabulary.lower,
            kept=kept,
            tokenizer=vocabulary.tokenizer,
            merges=tuple(vocabulary.merges),
        )

    @cached_property
    def labels(self) -> list[int]:
        """The class number of each row."""
        return [row.label for row in self.rows]

    def labels_of(self, rows: Iterable[int]) -> list[int]:
        """The class numbers of these rows."""
        return [self.rows[row].label for row in rows]

    def said_of(self, row: int) -> str:
        """The label of a row as a listing has it: the name of its class."""
        return self.classes[self.rows[row].label]

    def keys(self, rows: Iterable[int]) -> list[str]:
        """The SHA-256 of these rows' files, by which what is computed of them is stored."""
        return [self.rows[row].sha256 for row in rows]

    def rows_of(self, split: str) -> list[int]:
        """The row numbers of ``train``, ``val`` or ``test``, ascending; empty if there are none."""
        return [number for number, row in enumerate(self.rows) if row.split == split]

    def has(self, split: str) -> bool:
        """Whether any example is in that split."""
        return any(row.split == split for row in self.rows)

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Examples by split and class; splits without one are left out."""
        counts = {split: dict.fromkeys(self.classes, 0) for split in SPLITS if self.has(split)}
        for row in self.rows:
            counts[row.split][self.classes[row.label]] += 1
        return counts

    @cached_property
    def digest(self) -> str:
        """SHA-256 over classes, rows and pieces: same examples under the same names, wherever they
        lie."""
        parts = [self.classes, self.rows, *self._vocabulary.values()]
        content = json.dumps(parts, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def _vocabulary(self) -> dict[str, Any]:
        """As far as there is one; what says how its pieces are merged where it is not WordPiece."""
        if not self.pieces:
            return {}
        found = {"pieces": self.pieces, "cased": self.cased, "kept": self.kept}
        merged = {"tokenizer": self.tokenizer, "merges": self.merges}
        return found | (merged if self.tokenizer != WordPiece.name else {})

    def split_digest(self, split: str) -> str:
        """SHA-256 over the examples of a split, by content and class: the same for the same
        examples, whatever their names, their order and the other splits are."""
        rows = sorted(
            (self.rows[n].sha256, self.classes[self.rows[n].label]) for n in self.rows_of(split)
        )
        return sha256_json(rows)

    def save(self, path: Path) -> None:
        """Writes index.json: classes, rows, split_from, digest, counts, pieces if any."""
        head = {
            "classes": self.classes,
            "split_from": self.split_from,
            "digest": self.digest,
            "counts": self.counts,
            **self._vocabulary,
        }
        write_index(path, head, map(json.dumps, self.rows))

    @classmethod
    def load(cls, path: Path) -> Index:
        """Reads index.json, once a process. Raises ArtifactError if it is damaged."""
        return _load(path)


Found = TypeVar("Found", bound=Index)


def write_index(path: Path, head: Mapping[str, Any], rows: Iterable[str]) -> None:
    """index.json: the keys of ``head``, then ``rows``, JSON, one a line."""
    lines = ",\n".join(rows)
    write_text(path, f'{json.dumps(head, indent=1)[:-2]},\n "rows": [\n{lines}\n]}}\n')


def read_index(path: Path, what: str, of: Callable[[Any], Found]) -> Found:
    """What ``of`` makes of index.json's content, if its digest is the one that stands there.
    ArtifactError when it is not, or there is no index of ``what``."""
    try:
        raw = parse_json(path.read_text(encoding="utf-8"))
        index = of(raw)
        expected, got = raw["digest"], index.digest
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(path, f"no index of {what}: {error}", "run with --force") from error
    if expected != got:
        raise ArtifactError(path, "was changed", "run with --force", expected, got)
    return index


def _index(raw: Any) -> Index:
    return Index(
        tuple(raw["classes"]),
        tuple(Row(*row) for row in raw["rows"]),
        raw["split_from"],
        tuple(raw.get("pieces", ())),
        bool(raw.get("cased", False)),
        tuple(raw.get("kept", ())),
        str(raw.get("tokenizer", WordPiece.name)),
        tuple(raw.get("merges", ())),
    )


_load = Once(lambda path: read_index(path, "examples", _index))
