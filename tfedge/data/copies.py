"""Files with the same bytes, as far as a short look finds them: those of one size are compared."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfedge.data.listing import Entry
from tfedge.files.artifact import sha256_file


@dataclass(frozen=True)
class Copies:
    """Groups of the same content: under two labels (``conflicts``), else in two splits (``leaks``),
    else plain copies (``groups``). ``unseen``: files that may be copies, and were not compared."""

    conflicts: Sequence[Sequence[Entry]] = ()
    leaks: Sequence[Sequence[Entry]] = ()
    groups: Sequence[Sequence[Entry]] = ()
    unseen: int = 0

    @property
    def further(self) -> Counter[str]:
        """By class, how many files add nothing: copies, and all of those under two labels."""
        found = Counter(entry.label for group in self.conflicts for entry in group)
        found.update(group[0].label for group in (*self.leaks, *self.groups) for _ in group[1:])
        return found


def copies(root: Path, entries: Sequence[Entry], until: float) -> Copies:
    """Of the files below a root; after ``until``, in the seconds of ``time.monotonic``, no more
    are read. Files that can't be read are left out."""
    by_size: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.stamp is not None:
            by_size[entry.stamp[0]].append(entry)
    alike = [entry for same in by_size.values() if len(same) > 1 for entry in same]
    by_content: dict[str, list[Entry]] = defaultdict(list)
    unseen = 0
    for place, entry in enumerate(alike):
        if time.monotonic() > until:
            unseen = len(alike) - place
            break
        try:
            by_content[sha256_file(root / entry.path)].append(entry)
        except OSError:
            continue
    return sorted_out([group for group in by_content.values() if len(group) > 1], unseen)


def sorted_out(groups: Sequence[Sequence[Entry]], unseen: int = 0) -> Copies:
    """Groups of the same content by what is wrong with them."""
    conflicts, leaks, plain = [], [], []
    for group in groups:
        if len({entry.label for entry in group}) > 1:
            conflicts.append(group)
        elif len({entry.split for entry in group}) > 1:
            leaks.append(group)
        else:
            plain.append(group)
    return Copies(conflicts, leaks, plain, unseen)
