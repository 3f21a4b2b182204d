"""What an image is annotated with, and what is wrong with annotations, whatever their format."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tfedge.data.labels import label_problem
from tfedge.files.files import shown

MOST = 1000  # boxes of an image: no detector tells more apart
HUNDREDTHS = 100  # of a pixel: what boxes are rounded to, so that formats agree
_TOLD = 20  # problems of one kind of file


class Box(NamedTuple):
    """Hundredths of a pixel, from the left and the top edge of the image; ``ignored``: hard to see,
    or a crowd, which neither trains nor counts."""

    label: str
    left: int
    top: int
    right: int
    bottom: int
    ignored: bool = False


@dataclass(frozen=True)
class Annotation:
    """Of one image, by its path relative to the data root, "/" between folders. ``width`` and
    ``height`` are pixels of the image as its boxes count them; ``where`` is the annotation's file,
    with a line or an id."""

    path: str
    boxes: tuple[Box, ...]
    where: str
    width: int
    height: int
    split: str | None = None


@dataclass
class Notes:
    """What is wrong with annotations (``problems``), and what is left out of them with a word."""

    problems: list[str] = field(default_factory=list)
    more: int = 0
    empty: list[str] = field(default_factory=list)  # boxes without an area
    cut: list[str] = field(default_factory=list)  # boxes that reach beyond their image
    warnings: list[str] = field(default_factory=list)

    def wrong(self, where: str, what: str) -> None:
        """One problem more, in one line."""
        if len(self.problems) < _TOLD:
            self.problems.append(f"{where}: {what}")
        else:
            self.more += 1

    def told(self) -> list[str]:
        """All problems as a message has them."""
        more = [f"… and {self.more} more like these"] if self.more else []
        return [*self.problems, *more]


class Collector:
    """The boxes of one image, each checked as it comes. Sizes are pixels."""

    def __init__(self, notes: Notes, width: int, height: int) -> None:
        self._notes, self._size = notes, (width, height)
        self._full = False
        self.boxes: list[Box] = []

    def add(
        self, where: str, label: str, corners: Sequence[float], *, ignored: bool = False
    ) -> None:
        """A box of x1 y1 x2 y2 in pixels; ``where`` is the file with its line or id."""
        if len(self.boxes) >= MOST:
            if not self._full:
                self._notes.wrong(where, f"more than {MOST} boxes in one image")
            self._full = True
            return
        if problem := label_problem(label):
            self._notes.wrong(where, f"the class name {shown(label)!r} {problem}")
            return
        if not all(map(math.isfinite, corners)):
            self._notes.wrong(where, f"the box {_text(corners)} is no numbers")
            return
        left, top, right, bottom = corners
        if right < left or bottom < top:
            self._notes.wrong(where, f"the box {_text(corners)} has its corners swapped")
            return
        width, height = self._size
        inside = (
            *(min(max(left, 0.0), width), min(max(top, 0.0), height)),
            *(min(max(right, 0.0), width), min(max(bottom, 0.0), height)),
        )
        if right > left and bottom > top and (inside[2] <= inside[0] or inside[3] <= inside[1]):
            size = f"{width}×{height} pixels"
            self._notes.wrong(where, f"the box {_text(corners)} lies outside of its image, {size}")
            return
        left, top, right, bottom = (round(HUNDREDTHS * side) for side in inside)
        if right <= left or bottom <= top:
            self._notes.empty.append(where)
            return
        if max(abs(a - b) for a, b in zip(inside, corners, strict=True)) >= 1:
            self._notes.cut.append(where)
        self.boxes.append(Box(label, left, top, right, bottom, ignored))

    def found(self) -> tuple[Box, ...]:
        """In an order of their own: which one a file names first says nothing."""
        return tuple(sorted(self.boxes))


def _text(corners: Sequence[float]) -> str:
    return "[" + ", ".join(f"{side:g}" for side in corners) + "]"


def as_label(annotation: Annotation) -> str:
    """All that an image is labelled with, in one line: the same for the same boxes."""
    boxes = [[*box[:5], int(box.ignored)] for box in annotation.boxes]
    size = [annotation.width, annotation.height]
    return json.dumps([size, boxes], separators=(",", ":"), ensure_ascii=False)


class Labelled(NamedTuple):
    """What ``as_label`` has written."""

    width: int
    height: int
    boxes: tuple[Box, ...]

    @classmethod
    def of(cls, label: str) -> Labelled:
        (width, height), boxes = json.loads(label)
        found = (Box(*box[:5]) for box in boxes)
        flags = (bool(box[5]) for box in boxes)
        marked = (box._replace(ignored=flag) for box, flag in zip(found, flags, strict=True))
        return cls(width, height, tuple(marked))


def classes_in(label: str) -> list[str]:
    """The class of each box that counts."""
    return [box.label for box in Labelled.of(label).boxes if not box.ignored]


def told(label: str) -> str:
    """In words."""
    count = len(Labelled.of(label).boxes)
    return f"{count} box{'es' * (count != 1)}"


def no_stratum(label: str) -> str:
    """Images with boxes are split as one: each may hold several classes."""
    return ""
