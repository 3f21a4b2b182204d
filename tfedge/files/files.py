"""Locks, folders that are whole or not there, and names that can stand in a message."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from tfedge.errors import ArtifactError
from tfedge.files.artifact import TEMPORARY, disk_errors

Note = Callable[[str], None]
NAMED = 3  # of many, that a line names
_MOMENT, _PAUSE = 0.5, 0.02  # seconds that a lock is waited for before a word is said
_LONG = 400  # characters; longer than the names of files and classes are


@contextmanager
def locked(
    path: Path, *, waiting: str = "", note: Note | None = None, remove: bool = False
) -> Iterator[None]:
    """Holds an exclusive lock on ``path`` (made if need be) against threads and processes.

    The kernel lets go of it when the process dies, however it dies. Where it is waited for longer
    than a moment, ``note`` is told so, as ``waiting`` and who holds it since when. The file stays,
    empty, or goes with the lock (``remove``). Raises ArtifactError when the disk refuses, or what
    lies there is no file of ours.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _patiently(path, waiting or str(path), note)
    try:
        yield
    finally:
        if remove:
            with suppress(OSError):  # in a folder that only its owner may take things out of
                path.unlink()
        elif _is_writable(handle):
            os.ftruncate(handle, 0)
        os.close(handle)


def _patiently(path: Path, waiting: str, note: Note | None) -> int:
    """The lock, once nobody else has it."""
    until = time.monotonic() + _MOMENT
    while (handle := try_lock(path)) is None:
        if time.monotonic() < until:
            time.sleep(_PAUSE)
            continue
        if note is not None:
            note(f"waiting for {waiting}: {holder_of(path)}")
            note = None
        _wait(path)
    return handle


def _wait(path: Path) -> None:
    """Until nobody holds the lock, for a moment at least."""
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


def try_lock(path: Path, holder: str = "") -> int | None:
    """The same lock, held until the descriptor is closed; None while another holds it.

    ``holder`` is what it says of who holds it; by default process, machine and time.
    """
    while True:
        handle = _opened(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, handle):
                _sign(handle, holder)
                return handle
            os.close(handle)  # its last holder has removed the file: this was no lock any more
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise


def is_locked(path: Path) -> bool:
    """Whether somebody holds it, now; False where there is none. It stays as it is."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _is_there(path: Path, handle: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (os.fstat(handle).st_dev, os.fstat(handle).st_ino)


def holder_of(path: Path) -> str:
    """Who holds a lock, as it was written there: ``process 17 on alpha since 12:00:01 UTC``."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:200].strip()
    except OSError:
        text = ""
    return shown(text) if text else "another process, unknown which"


def _sign(handle: int, holder: str) -> None:
    """Write down who holds a lock, for whoever waits for it. A file of another user's, that may
    only be read, stays as it is, and on a full disk it says nothing."""
    if not _is_writable(handle):
        return
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = holder or f"process {os.getpid()} on {socket.gethostname()} since {now}"
    os.ftruncate(handle, 0)
    with suppress(OSError):
        os.write(handle, f"{holder}\n".encode())


def _is_writable(handle: int) -> bool:
    return fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _opened(path: Path) -> int:
    """A lock file, made if need be; a link is not followed: its target is not ours to write to."""
    flags = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            handle = os.open(path, os.O_RDWR | flags, 0o666)
        except PermissionError:  # another user's: to lock it, reading is enough
            if not os.path.lexists(path):
                raise
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ArtifactError(path, "is a link, and no lock of tfedge's", "remove it") from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ArtifactError(path, "is no regular file, and no lock of tfedge's", "remove it")
    return handle


def fresh_folder(parent: Path, prefix: str = "") -> Path:
    """A new folder of a name that nobody has, open to whom the umask lets in (``mkdtemp``'s is its
    owner's only, which is wrong for what others may use)."""
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(6)}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def is_inside(name: str) -> bool:
    """Whether a relative path names something below the folder that it is relative to, in one
    spelling."""
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name
    return not odd and path.as_posix() == name


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


def set_aside(path: Path, wrong: str, note: Note | None = None) -> Path:
    """Take something damaged out of its place in the cache, so that it is made again.

    It stays beside that, for whoever wants to look at it, until the cache is cleaned. ``note`` is
    told what is ``wrong`` with it, and where it is.
    """
    away = path.with_name(f".{path.name}.damaged-{time.time_ns()}{TEMPORARY}")
    with disk_errors(path):
        path.rename(away)
    if note is not None:
        note(f"cache: {path.name} is {wrong}: moved to {away}, and fetched again")
    return away


def path_problem(path: str) -> str | None:
    """Why nothing can be looked for under a path; None where something is, or might be."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return f"no path can be that long, {len(path):,} characters"
        return f"{shown(path)}: {error.strerror}"
    except ValueError as error:  # a NUL in it
        return f"{shown(path)}: {error}"
    return None


def shown(name: str) -> str:
    """A file or class name as it can stand in a message: one line that can be read, without control
    characters, and of what is too long for a name the beginning and the end."""
    if len(name) > _LONG:
        name = f"{name[: _LONG // 2]}…{name[-_LONG // 2 :]}"
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def few(names: Sequence[str]) -> str:
    """The first of many, as a line names them."""
    return ", ".join(map(shown, names[:NAMED])) + ", …" * (len(names) > NAMED)


def in_short(error: BaseException) -> str:
    """What an error says, as it can stand in a message: libraries quote the file they read."""
    return shown(str(error))[:200]
