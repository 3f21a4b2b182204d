"""Locks, folders that are whole or not there, and names that can stand in a message."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfedge.files.artifact import disk_errors


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``path`` (made if need be) against threads and processes.

    The kernel lets go of it when the process dies, however it dies. The file stays: removing it
    would let two processes hold "the" lock.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def try_lock(path: Path, holder: str = "") -> int | None:
    """The same lock, held until the descriptor is closed; None while another holds it.

    ``holder`` is written into the file, for whoever finds it locked.
    """
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    if holder:
        os.ftruncate(handle, 0)
        os.write(handle, f"{holder}\n".encode())
    return handle


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target``, on the same disk, that is gone when the block ends.

    To be used under a lock: its name is fixed, so that what a killed run left behind is found and
    removed. Raises ArtifactError when the disk refuses.
    """
    folder = target.with_name(f".{target.name}.tmp")
    with disk_errors(target):
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder that becomes ``target`` when the block ends without error."""
    with scratch_folder(target) as folder:
        yield folder
        folder.replace(target)


def shown(name: str) -> str:
    """A file or class name as it can stand in a message: one line, no control characters."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
