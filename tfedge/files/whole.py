"""Reading a file that a user names into memory, once its first bytes and its size are right."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

from tfedge.errors import ArtifactError

START = 8  # bytes that are looked at before the rest is read


def _any(start: bytes) -> None:
    """Of a file that no first bytes mark."""


def whole(
    path: Path, most: int, check: Callable[[bytes], None] = _any, called: str = "", hint: str = ""
) -> bytes:
    """The bytes of a regular file of at most ``most`` bytes.

    ``check`` gets the first eight bytes and raises when they are wrong; then nothing more is read.
    ``called`` stands before the message. ArtifactError when the file can't be read or is too large.
    """
    try:
        with io.BufferedReader(io.FileIO(path, opener=_at_once)) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):  # a device may never end
                raise ArtifactError(path, "not a file", hint)
            check(file.read(START))
            if facts.st_size > most:
                what = f"{called}has {facts.st_size:,} bytes, more than {most:,}: refused"
                raise ArtifactError(path, what, hint)
            file.seek(0)
            return file.read(facts.st_size)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(path, f"{called}can't be read: {why}", hint) from error


def _at_once(path: str, flags: int) -> int:
    """Open without waiting: a FIFO that nobody writes to is opened, too."""
    return os.open(path, flags | os.O_NONBLOCK)
