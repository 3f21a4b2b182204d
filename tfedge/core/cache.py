"""The stage cache: what a stage wrote, kept under the digest of all that went into it.

``cache/stages/<key>/`` holds the outputs and ``stage.json``. A stage writes into a folder below
``cache/stages/tmp/`` that becomes the entry by one rename, so an entry is whole or not there. A
lock a key lets one run make a result that several want; the others wait, and find it. Digests are
checked whenever an entry is used.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfedge.core.stages import Stage
from tfedge.errors import ArtifactError, InvariantBroken
from tfedge.files.artifact import read_json, sha256_file, sha256_json, write_json
from tfedge.files.files import fresh_folder, is_inside, locked, shown, try_lock

RECORD = "stage.json"
DAMAGED_DAYS = 7  # that a damaged entry is kept for, to be looked at


@dataclass(frozen=True)
class Entry:
    """A sealed folder of outputs. ``record`` is its ``stage.json``: ``{name, key, outputs: {file:
    {sha256, bytes}}, seconds, versions, material}``, ``material`` being what the key is made of."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each output, by its path in the folder."""
        return {name: output["sha256"] for name, output in self.record["outputs"].items()}

    def file(self, name: str) -> Path:
        return self.folder / name


def record_of(
    stage: Stage, key: str, folder: Path, *, seconds: float, material: Mapping[str, Any]
) -> dict[str, Any]:
    """What there is to say about a folder that a stage has filled.

    Raises InvariantBroken when an output that the stage's row declares is missing.
    """
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    missing = [name for name in stage.outputs if name not in files]
    if missing:
        got = ", ".join(files) or "nothing"
        raise InvariantBroken(f"outputs of stage {stage.name}", ", ".join(stage.outputs), got)
    outputs = {n: {"sha256": sha256_file(p), "bytes": p.stat().st_size} for n, p in files.items()}
    return {
        "name": stage.name,
        "key": key,
        "outputs": outputs,
        "seconds": round(seconds, 3),
        "versions": material["versions"],
        "material": material,
    }


class StageCache:
    """The entries below one cache folder. Safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "stages"
        self.temporary = self.folder / "tmp"
        self.damaged = self.folder / "damaged"
        self.locks = self.folder / "locks"

    @contextmanager
    def alone(self, key: str, what: str, note: Callable[[str], None]) -> Iterator[None]:
        """While this is held no other run makes, uses or removes the entry of this key."""
        waiting = f"{what}, which another run is at"
        with locked(self.lock_file(key), waiting=waiting, note=note, remove=True):
            yield

    def lock_file(self, key: str) -> Path:
        """What is locked by whoever makes, uses or removes the entry of this key."""
        return self.locks / f"{key}.lock"

    def peek(self, key: str) -> Entry | None:
        """The entry, if it is there with files of the right size (digests are not looked at)."""
        entry = self._read(key)
        return entry if entry is not None and not self._wrong(entry, digests=False) else None

    def find(self, key: str, note: Callable[[str], None]) -> Entry | None:
        """The entry, its digests checked. A damaged one is moved away, told of, and a miss."""
        folder = self.folder / key
        if not os.path.lexists(folder):
            return None
        entry = self._read(key)
        wrong = self._wrong(entry, digests=True) if entry else f"its {RECORD} is damaged or missing"
        if entry and not wrong:
            with suppress(OSError):  # another user's: when it was used last is not ours to write
                os.utime(folder)
            return entry
        self.damaged.mkdir(exist_ok=True)
        away = self.damaged / f"{key}-{time.time_ns()}"
        try:
            folder.rename(away)
        except FileNotFoundError:  # another run has just moved it
            return None
        note(f"cache: a damaged result is not used ({wrong}); moved to {away}")
        return None

    def seal(self, folder: Path, record: Mapping[str, Any]) -> Entry:
        """Make a filled folder the entry of its key. Its files become read-only, since run
        directories hard-link them, for whoever may read the folder."""
        _open_to_readers(folder)
        write_json(folder / RECORD, record)
        target = self.folder / record["key"]
        mine = Entry(target, record)
        while not _renamed(folder, target):
            # There already: another run was faster, or --force made it again.
            there = self._read(record["key"])
            if there and there.digests == mine.digests and not self._wrong(there, digests=True):
                shutil.rmtree(folder)
                return there
            aside = fresh_folder(folder.parent)
            with suppress(FileNotFoundError):
                target.rename(aside / "old")
            shutil.rmtree(aside)
        return mine

    def _read(self, key: str) -> Entry | None:
        folder = self.folder / key
        try:
            record = read_json(folder / RECORD)
        except ArtifactError:
            return None
        return Entry(folder, record) if _is_sound(record, key) else None

    def _wrong(self, entry: Entry, digests: bool) -> str:
        """What is wrong with an entry's files; empty when nothing is."""
        try:
            for name, output in entry.record["outputs"].items():
                path = entry.file(name)
                if path.is_symlink() or not path.is_file():
                    return f"{path} is missing"
                if path.stat().st_size != output["bytes"]:
                    return f"{path} has {path.stat().st_size} bytes, expected {output['bytes']}"
                if digests and sha256_file(path) != output["sha256"]:
                    return f"{path} is not what was written"
        except OSError as error:  # a bad sector; a name that no file can have
            return f"{shown(str(error.filename))[:200]} can't be read: {error.strerror}"
        return ""


class Workspace:
    """A run's own folder for what is not sealed yet; gone with the run, however it ends.

    A lock that the kernel drops with its process says whether the owner still lives: a process id
    could belong to someone else by now, or to another container.
    """

    def __init__(self, cache: StageCache) -> None:
        cache.temporary.mkdir(parents=True, exist_ok=True)
        for folder in run_folders(cache.temporary):
            remove_killed(folder)
        _unlock(cache.locks)
        _forget(cache.damaged)
        while True:
            self.folder = fresh_folder(cache.temporary, f"{os.getpid()}-")
            self._lock = try_lock(self.folder.with_suffix(".lock"))
            if self._lock is not None and self.folder.is_dir():
                return
            self.close()  # another run cleaned it away between the two lines above

    def new(self, name: str) -> Path:
        """An empty folder for a stage to write to."""
        return fresh_folder(self.folder, f"{name}-")

    def close(self) -> None:
        """Remove everything that was not sealed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self.folder.with_suffix(".lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def _open_to_readers(folder: Path) -> None:
    """What libraries have written may be their user's only: temporary files are."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(mode)
        elif path.is_file() and not path.is_symlink():
            path.chmod(mode & 0o444)


def _is_sound(record: Any, key: str) -> bool:
    """Whether a record is one that ``record_of`` wrote for this key: the key is the digest of what
    it is made of, so a changed byte there is seen, and names of outputs lead nowhere else."""
    if not isinstance(record, dict):
        return False
    material, outputs, seconds = (record.get(part) for part in ("material", "outputs", "seconds"))
    if not isinstance(material, dict) or not isinstance(outputs, dict) or not outputs:
        return False
    try:
        same = sha256_json(material) == key == record.get("key")
    except (ValueError, RecursionError):  # NaN, half of a surrogate pair
        return False
    return (
        same
        and record.get("name") == material.get("stage")
        and record.get("versions") == material.get("versions")
        and isinstance(seconds, (int, float))
        and 0 <= seconds < 1e9
        and all(_is_output(*output) for output in outputs.items())
    )


def _is_output(name: str, facts: Any) -> bool:
    return (
        is_inside(name)
        and name != RECORD
        and isinstance(facts, dict)
        and type(facts.get("bytes")) is int
        and isinstance(facts.get("sha256"), str)
    )


def run_folders(temporary: Path) -> list[Path]:
    """The folders of runs below ``cache/stages/tmp/``, of those that live and of those killed."""
    found = temporary.iterdir() if temporary.is_dir() else ()
    return sorted({path.with_suffix("") for path in found})


def was_killed(folder: Path) -> bool:
    """Whether the run of such a folder is dead. Nothing is written."""
    if not folder.with_suffix(".lock").exists():
        return True
    lock = try_lock(folder.with_suffix(".lock"))
    if lock is not None:
        os.close(lock)
    return lock is not None


def remove_killed(folder: Path) -> bool:
    """Remove the folder of a run that was killed; False where the run lives."""
    lock = try_lock(folder.with_suffix(".lock"))
    if lock is None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another user's
        folder.with_suffix(".lock").unlink()
    os.close(lock)
    return True


def _unlock(locks: Path) -> None:
    """Remove the locks of runs that were killed."""
    for path in locks.iterdir() if locks.is_dir() else ():
        with suppress(OSError):
            lock = try_lock(path)
            if lock is not None:
                path.unlink()
                os.close(lock)


def _forget(damaged: Path) -> None:
    """Remove the damaged entries that nobody has looked at for long."""
    for folder in damaged.iterdir() if damaged.is_dir() else ():
        with suppress(OSError):
            if time.time() - folder.lstat().st_mtime > DAMAGED_DAYS * 86_400:
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()


def _renamed(folder: Path, target: Path) -> bool:
    """Rename a folder, unless the target is there."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    return True
