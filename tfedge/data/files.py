"""Writing so that a kill at any moment leaves the old or the new, never half of it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfedge.errors import ArtifactError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_error(path: Path, error: OSError) -> ArtifactError:
    """What the user reads when the disk refuses: full, read-only, not allowed."""
    if error.errno in _FULL:
        hint = "free some space, or set TFEDGE_CACHE to a folder on another disk, and run again"
        return ArtifactError(path, "no space left on the disk", hint)
    return ArtifactError(
        path,
        f"the disk refuses: {error.strerror or error}",
        "make it readable and writable, or set TFEDGE_CACHE to another folder",
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``path`` (made if need be) against threads and processes.

    The kernel lets go of it when the process dies, however it dies. The file stays: removing it
    would let two processes hold "the" lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes or replaces the whole file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target`` that becomes ``target`` when the block ends without error.

    To be used under a lock: the temporary name is fixed, so that what a killed run left behind is
    found and removed.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise disk_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
