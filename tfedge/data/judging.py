"""Labelled files that judge a model which ships: as they lie there, without a split of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfedge.data.schema import Data
from tfedge.data.sources import listed_whole
from tfedge.errors import DataError
from tfedge.files.progress import Progress

_ORDER = ("test", "val", "train")  # which split judges, where none is asked for


@dataclass(frozen=True)
class Example:
    """A labelled file. ``sha256`` is what it was when its run listed it; empty: of no run."""

    path: Path
    label: str  # as a listing has it
    split: str | None
    sha256: str = ""


@dataclass(frozen=True)
class Labelled:
    """What judges a model; ``split`` is that of all of them. ``labels``, the classes in their
    order, and ``fit`` (None: not known) are for a model of which nobody says its own."""

    examples: Sequence[Example]
    labels: Sequence[str]
    split: str | None
    fit: str | None = None


def of_data(data: Data, split: str | None, where: str, cache: Path, progress: Progress) -> Labelled:
    """The files that ``data`` names, of a split; None: of the first that is there of test, val and
    train, else all. ``where`` is what messages call them.

    DataError where they are not there, can't be understood, or none is in that split.
    """
    listing = listed_whole(data, cache, progress)
    found = [
        Example(listing.root / entry.path, entry.label, entry.split) for entry in listing.entries
    ]
    there = [name for name in _ORDER if any(one.split == name for one in found)]
    if split is None and not there:
        return Labelled(found, listing.classes, None)
    chosen = split or there[0]
    if chosen not in there:
        has = f"it has {', '.join(there)}" if there else "it is not split: leave the split out"
        raise DataError([f"{where}: no {chosen} {listing.kind.many}"], has)
    kept = [one for one in found if one.split == chosen]
    return Labelled(kept, listing.classes, chosen)
