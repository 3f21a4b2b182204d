"""How much may come out of a file that is not trusted.

Compressed data, lists that share their items, and servers that never stop make much of little.
Whoever reads such a file charges a budget with what comes *out* of it, as it comes: no size that
the file states for itself is believed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NoReturn

from tfedge.errors import ArtifactError

GIB = 2**30
PIECE = 1 << 20  # bytes that are held in memory at a time


@dataclass(frozen=True)
class Limits:
    """What one kind of file may come to. ``ratio`` is what comes out to what went in; it does not
    matter below ``free`` bytes."""

    size: int
    entries: int
    seconds: float
    ratio: float = 200  # images and weights hardly shrink
    free: int = 64 * 2**20

    def budget(self, called: str, packed: int) -> Budget:
        """For one file of ``packed`` bytes, which messages call ``called``."""
        size = min(self.size, max(self.free, int(self.ratio * packed)))
        return Budget(called, size, self.entries, self.seconds)


DATA = Limits(size=200 * GIB, entries=2_000_000, seconds=24 * 3600)  # a data set
DROP = Limits(size=2 * GIB, entries=10_000, seconds=600)  # far above any for a small device
WEIGHTS = Limits(size=2 * GIB, entries=100_000, seconds=600)  # ConvNeXtXLarge has 1.4 GB
WEIGHTS_FILE = Limits(size=2 * GIB, entries=1, seconds=24 * 3600)  # on its way here
PROGRAM = Limits(size=GIB, entries=1, seconds=24 * 3600)  # for a device, likewise
METADATA = Limits(size=64 * 2**20, entries=100_000, seconds=60, ratio=4, free=4096)
MODEL = Limits(size=2 * GIB, entries=1_000, seconds=60)  # a flatbuffer can't be larger


class Budget:
    """What is left to one file. ``spend`` raises ArtifactError when it is used up."""

    def __init__(self, called: str, size: int, entries: int, seconds: float) -> None:
        self.called, self.size, self.entries, self.seconds = called, size, entries, seconds
        self._size, self._entries = size, entries
        self._end = time.monotonic() + seconds

    def spend(self, size: int = 0, entries: int = 0) -> None:
        """So many bytes and entries more came out."""
        self._size -= size
        self._entries -= entries
        if self._size < 0:
            self.refuse(f"unpacks to too much, more than {self.size:,} bytes (a bomb?)")
        if self._entries < 0:
            self.refuse(f"holds more than {self.entries:,} entries")
        if time.monotonic() > self._end:
            self.refuse(f"takes more than {self.seconds:,.0f} seconds to read")

    def refuse(self, why: str) -> NoReturn:
        """Raise ArtifactError: nothing more is read of this file."""
        hint = "don't trust this file: look at where it is from, or make it again"
        raise ArtifactError(self.called, f"{why}: refused", hint)
