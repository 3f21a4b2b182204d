"""How much is held in memory rather than on disk; and which disk is full, where an error does not
say it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tfedge.errors import ArtifactError
from tfedge.files.artifact import FULL, TEMPORARY, disk_error, no_space

HELD = 1 << 27  # bytes of an array that is held in memory; a larger one lies on disk
_PROBE = 256 * 1024  # bytes that are written to see whether a disk takes them
_SCARCE = 1 << 30  # bytes; a disk with more has refused nothing that tfedge writes in one go


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        context = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or context


def full_disk(error: BaseException, places: Sequence[Path]) -> ArtifactError:
    """That a disk is full, and which one: what the error names, or was raised from; else the one of
    ``places``, folders on all disks that are written to, that takes no more.

    To be asked before anything is cleaned up. Libraries write "no space" without a path.
    """
    for cause in causes(error):
        if isinstance(cause, ArtifactError):
            return cause
        if isinstance(cause, OSError) and cause.errno in FULL and cause.filename is not None:
            return disk_error(cause, places[0])
    text = str(error)
    named = [place for place in places if str(place) in text]
    found = max(named, key=lambda place: len(str(place))) if named else _fullest(places)
    if found is not None:
        return no_space(found)
    said = ", ".join(str(place) for place in places)
    return no_space(f"one of {said}")


def _fullest(places: Sequence[Path]) -> Path | None:
    """The first that takes no more; else the one with least space, if that is little."""
    there = [place for place in places if place.is_dir()]
    for place in there:
        if _refuses(place):
            return place
    found = [(free(place), place) for place in there]
    scarce = [(left, place) for left, place in found if left is not None and left < _SCARCE]
    return min(scarce, key=lambda pair: pair[0])[1] if scarce else None


def free(folder: Path) -> int | None:
    """Free bytes of the disk that a folder, which need not be there yet, is on; None where the
    system does not say."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            disk = os.statvfs(place)
            return disk.f_bavail * disk.f_frsize
    return None


def _refuses(place: Path) -> bool:
    """Whether there is no space for a small file: only writing tells, where users have quotas."""
    path = place / f".space.{secrets.token_hex(6)}{TEMPORARY}"
    try:
        with path.open("xb") as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return error.errno in FULL
    finally:
        _remove(path)
    return False


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
