"""A short look at some images of many: how large they are, and whether they can be read at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tfedge.inputs.images.annotations.audit import Seen, seen
from tfedge.inputs.images.formats import HEAD, foreign

LEAST, MOST = 20, 100  # images


@dataclass(frozen=True)
class Glance:
    """``seen`` are the images that can be opened, ``bad`` by path why others can't, with the way
    out."""

    seen: Sequence[Seen]
    bad: dict[str, tuple[str, str]]

    @property
    def count(self) -> int:
        return len(self.seen) + len(self.bad)

    @property
    def side(self) -> int:
        """The shorter side of an image, the median, in pixels; 0 where none could be opened."""
        return round(median(min(one.width, one.height) for one in self.seen)) if self.seen else 0

    @property
    def long(self) -> bool:
        """Whether most are far from square."""
        ratios = [max(one.width, one.height) / max(1, min(one.upright)) for one in self.seen]
        return bool(ratios) and median(ratios) > 1.6


def glance(root: Path, paths: Sequence[str], until: float) -> Glance:
    """Opens ``MOST`` of the images at most, evenly drawn, and after ``until``, in the seconds of
    ``time.monotonic``, no more than ``LEAST``; decodes none."""
    step = max(1, len(paths) / MOST)
    chosen = [paths[int(place * step)] for place in range(min(MOST, len(paths)))]
    found: list[Seen] = []
    bad: dict[str, tuple[str, str]] = {}
    for number, path in enumerate(chosen):
        if number >= LEAST and time.monotonic() > until:
            break
        size = seen(root / path)
        problem = _problem(root / path, size)
        if problem is not None:
            bad[path] = problem
        elif size is not None:
            found.append(size)
    return Glance(found, bad)


def _problem(path: Path, size: Seen | None) -> tuple[str, str] | None:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return f"can't be read: {error.strerror}", "make these files readable"
    if found := foreign(head, path.name):
        return found
    return None if size is not None else ("can't be read as an image", "repair or remove them")
