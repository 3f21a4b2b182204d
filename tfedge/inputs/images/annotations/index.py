"""The index of images with boxes, and the boxes as a model's input has them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfedge.data.index import SPLITS, Index, Row, read_index, write_index
from tfedge.files.artifact import sha256_json
from tfedge.files.once import Once
from tfedge.inputs.images.annotations.model import HUNDREDTHS, Labelled, classes_in


class Truth(NamedTuple):
    """What is seen on the input of a model: ``boxes`` float32 [n, 4], x1 y1 x2 y2 from 0 to 1,
    ``labels`` int [n], numbers of their classes, ``ignored`` bool [n]."""

    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray

    def counted(self) -> Truth:
        """Without what is ignored."""
        kept = ~self.ignored
        return Truth(self.boxes[kept], self.labels[kept], self.ignored[kept])


@dataclass(frozen=True)
class BoxIndex(Index):
    """``annotations`` are the labels of the rows, as ``annotations.model`` writes them; a row's own
    label says nothing."""

    annotations: tuple[str, ...] = ()

    def said_of(self, row: int) -> str:
        """All that its annotation says."""
        return self.annotations[row]

    @cached_property
    def labelled(self) -> list[Labelled]:
        return [Labelled.of(text) for text in self.annotations]

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Boxes by split and class, of those that count."""
        found = {split: dict.fromkeys(self.classes, 0) for split in SPLITS if self.has(split)}
        for row, text in zip(self.rows, self.annotations, strict=True):
            for name, count in Counter(classes_in(text)).items():
                found[row.split][name] += count
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 over classes, rows and boxes."""
        parts = [self.classes, self.rows, self.annotations]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

    def split_digest(self, split: str) -> str:
        """SHA-256 over the images of a split and their boxes, in any order."""
        return sha256_json(
            sorted((self.rows[at].sha256, self.annotations[at]) for at in self.rows_of(split))
        )

    def truth(self, row: int, fit: str) -> Truth:
        """The boxes of an image that has become square by ``fit``."""
        return seen_on(self.labelled[row], self.classes, fit)

    def save(self, path: Path) -> None:
        """Writes index.json: classes, split_from, digest, counts, and rows with their boxes."""
        head = {
            "classes": self.classes,
            "split_from": self.split_from,
            "digest": self.digest,
            "counts": self.counts,
        }
        lines = zip(self.rows, self.annotations, strict=True)
        write_index(
            path, head, (json.dumps([*row, text], ensure_ascii=False) for row, text in lines)
        )

    @classmethod
    def load(cls, path: Path) -> BoxIndex:
        """Reads index.json, once a process. ArtifactError if it is damaged."""
        return _load(path)

    @classmethod
    def of(cls, index: Index, annotations: dict[str, str]) -> BoxIndex:
        """The rows of an index with their annotations, by path."""
        labels = tuple(annotations[row.path] for row in index.rows)
        return cls(index.classes, index.rows, index.split_from, annotations=labels)


def _index(raw: Any) -> BoxIndex:
    rows = tuple(Row(*row[:4]) for row in raw["rows"])
    marks = tuple(str(row[4]) for row in raw["rows"])
    return BoxIndex(tuple(raw["classes"]), rows, raw["split_from"], annotations=marks)


_load = Once(lambda path: read_index(path, "images", _index))


def seen_on(found: Labelled, classes: Sequence[str], fit: str) -> Truth:
    """The boxes of these classes, on an image that has become square by ``fit``."""
    known = {name: number for number, name in enumerate(classes)}
    boxes = [box for box in found.boxes if box.label in known]
    corners = np.array([box[1:5] for box in boxes], np.float64).reshape(-1, 4) / HUNDREDTHS
    seen, kept = fitted(corners, found.width, found.height, fit)
    labels = np.array([known[box.label] for box in boxes], np.int64)
    ignored = np.array([box.ignored for box in boxes], bool)
    return Truth(seen, labels[kept], ignored[kept])


def fitted(corners: np.ndarray, width: int, height: int, fit: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [n, 4] in pixels of an image as shares of the square that it becomes, float32 [m, 4],
    and which of them these are: those whose middle is seen."""
    left = top = 0.0
    wide, high = float(width), float(height)
    if fit != "stretch":
        side = float(min(width, height) if fit == "crop" else max(width, height))
        # as the decoder cuts: the rest of an odd number of pixels is at the far side
        left, top = (width - side) // 2, (height - side) // 2
        wide = high = side
    boxes = (corners - [left, top, left, top]) / [wide, high, wide, high]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    seen = ((middle > 0) & (middle < 1)).all(1)
    return np.clip(boxes[seen], 0, 1).astype(np.float32), np.flatnonzero(seen)
