"""What can be wrong with a listing before a file is opened."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tfedge.data.labels import same_name
from tfedge.data.listing import Listing
from tfedge.errors import DataError
from tfedge.files.files import shown


def check_sound(listing: Listing) -> None:
    """DataError when there is nothing to tell apart, or no file at all."""
    classes = listing.classes
    if len(classes) < listing.kind.fewest and not listing.partial:
        got = f"only {shown(classes[0])}" if classes else "none"
        least = "two classes are" if listing.kind.fewest > 1 else "one class is"
        way = "one folder a class, or path,label lines in a CSV" + _one_level_down(listing)
        raise DataError(
            [f"{listing.root}: at least {least} needed, there is {got}"],
            "" if listing.kind.listed else way,
        )
    check_there(listing)


def check_there(listing: Listing) -> None:
    """DataError when there is no file at all."""
    classes = listing.classes
    if listing.entries and all(entry.stamp is None for entry in listing.entries):
        first = shown(listing.entries[0].path)
        raise DataError(
            [f"{listing.root}: none of {len(listing.entries)} files is there, such as {first}"],
            _found(listing) or f"paths are relative to {listing.root}",
        )
    if not listing.entries and not listing.partial:
        within = f" in {', '.join(map(shown, classes[:5]))}" if classes else ""
        raise DataError(
            [f"{listing.root}: no {listing.kind.many}{within}"],
            f"one folder a class, with {listing.kind.many} in it",
        )


def _found(listing: Listing) -> str:
    """A hint where the first file is there with what its path lacks: its suffix, its folder."""
    first = listing.entries[0].path
    is_one = listing.kind.names
    named = is_one(first)
    pattern = glob.escape(first) + ".*" * (not named)
    for below, lacks, of in (("", [], "names"), ("*/", ["folder"], "paths")):
        try:
            found = next(filter(is_one, map(str, listing.root.glob(below + pattern))), None)
        except OSError:  # a name that no file can have
            return ""
        if found is not None:
            what = " and ".join(lacks if named else [*lacks, "suffix"])
            name = Path(found).relative_to(listing.root).as_posix()
            return f"{shown(name)} is there: {of} need their {what}"
    return ""


def check_classes(listing: Listing) -> None:
    """DataError that names the classes without a file, or without one to train on."""
    problems = lacking(
        listing, counts_of(listing, ((e.split or "train", e.label) for e in listing.entries))
    )
    if problems and not listing.partial:
        raise DataError(problems, fill_up(listing))


def counts_of(listing: Listing, labels: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """How many there are by split and class, given the split and the label of each example."""
    classes = listing.kind.labels.classes
    return Counter((split, name) for split, label in labels for name in classes(label))


def fill_up(listing: Listing) -> str:
    """The way out where classes lack files."""
    return f"add {listing.kind.things} to these classes, or take them away"


def lacking(listing: Listing, counts: Counter[tuple[str, str]], good: str = "") -> list[str]:
    """The classes that have nothing to train on, given how many there are by split and class;
    ``good`` says which files count."""
    one = listing.kind.things if listing.kind.counted else listing.kind.one
    filled = {label for (_, label), count in counts.items() if count}
    twins = {
        label: [shown(other) for other in same if other != label and counts["train", other]]
        for same in same_name(listing.classes)
        for label in same
    }
    problems = []
    for label in listing.classes:
        if not counts["train", label]:
            lacks = f"{one} in train" if label in filled else f"{good}{one}"
            twin = twins.get(label)
            other = f"; {twin[0]} differs from it in upper and lower case only" if twin else ""
            problems.append(f"class {shown(label)}: no {lacks}{other}")
    return problems


def _one_level_down(listing: Listing) -> str:
    """A hint for archives and folders that hold the wanted folder."""
    if len(listing.classes) != 1 or not (listing.root / listing.classes[0]).is_dir():
        return ""
    inner = listing.root / listing.classes[0]
    try:
        below = [item.name for item in inner.iterdir() if item.is_dir()]
    except OSError:
        return ""
    return f"; {shown(listing.classes[0])} has {len(below)} folders in it: name that one" * (
        len(below) > 1
    )
