"""What is in a cache and in a folder of runs, how much it takes, and taking out what is old or left
over.

Nothing goes that a running process holds: an entry of the stage cache whose key is locked, a run
directory that is, and, while any run is alive on this cache, whatever else runs read (decoded
images, features, downloads, samples, weights).
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tfedge.core.cache import RECORD, StageCache, remove_killed, run_folders, was_killed
from tfedge.core.rundir import LATEST, LOCK
from tfedge.core.runs import directories
from tfedge.errors import ArtifactError
from tfedge.files.artifact import TEMPORARY, disk_errors, read_json
from tfedge.files.files import fresh_folder, is_locked, try_lock

STAGE, LEFTOVER, RUN = "stage", "leftover", "run"
KILLED = "a killed run's"
# What else the rooms of tfedge put into the cache; anything else there is not ours to remove.
_ROOMS = ("downloads", "imagenet", "rows", "samples", "stat", "store", "tools", "wheels")
_KEY = re.compile(r"[0-9a-f]{64}")
_OLD_SECONDS = 3600  # after which a file that is not whole belongs to nobody who still writes it
_SIDE = re.compile(r"(\.files\.json|\.lock|\.unpack\.lock|\.archive(\.part|\.lock)?)$")


Inode = tuple[int, int]  # with the device


class File(NamedTuple):
    """``names`` in one item, of ``links`` that there are on the disk."""

    size: int
    names: int
    links: int


@dataclass(frozen=True)
class Item:
    """Something that can go by itself.

    ``kind`` is "stage", "run", "leftover" or the name of its folder in the cache (store, downloads
    …), ``name`` a stage's name or its own, ``paths`` all that belongs to it, ``used`` when it was
    written or last used, in Unix seconds. ``files`` are the files below by device and inode: run
    directories hard-link what stages wrote.
    """

    kind: str
    name: str
    paths: tuple[Path, ...]
    used: float
    files: Mapping[Inode, File] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size * file.names for file in self.files.values())

    @property
    def freed(self) -> int:
        """Bytes that going by itself would free."""
        return freed([self])

    def to_json(self) -> dict[str, Any]:
        """For programs: bytes, Unix seconds."""
        told = {"kind": self.kind, "name": self.name, "size": self.size, "used": self.used}
        return {**told, "paths": [str(path) for path in self.paths]}


@dataclass(frozen=True)
class Cleaning:
    """What goes, and what would have gone but is in use."""

    gone: Sequence[Item]
    held: Sequence[Item]

    @property
    def freed(self) -> int:
        """Bytes."""
        return freed(self.gone)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "schema": "tfedge.clean/1",
            "freed": self.freed,
            "gone": [item.to_json() for item in self.gone],
            "held": [item.to_json() for item in self.held],
        }


def freed(items: Sequence[Item]) -> int:
    """Bytes that are free when all of these have gone: those of files that have no other name."""
    left: dict[Inode, int] = {}
    total = 0
    for item in items:
        for inode, file in item.files.items():
            left[inode] = left.get(inode, file.links) - file.names
            total += file.size if left[inode] == 0 else 0
    return total


def contents(cache: Path, runs: Path | None = None, *, latest: bool = False) -> list[Item]:
    """All of tfedge's in a cache, and the runs in a folder, without the one that ``latest`` there
    names unless asked; leftovers first, then what was used longest ago.

    Raises ArtifactError when the disk refuses.
    """
    with disk_errors(cache):
        found = [*_stages(cache), *_others(cache), *_unfinished(cache)]
    if runs is not None:
        with disk_errors(runs):
            found += _runs(runs, latest)
    return sorted(found, key=lambda item: (item.kind != LEFTOVER, item.used, item.paths))


def clean(
    cache: Path,
    *,
    older_than: float | None = None,
    max_size: int | None = None,
    runs: Path | None = None,
    latest: bool = False,
    among: Sequence[Item] | None = None,
    dry_run: bool = False,
) -> Cleaning:
    """Take out what is left over, what was not used for ``older_than`` seconds, and then what was
    used longest ago until no more than ``max_size`` bytes are left, of the cache and the folder
    ``runs`` together, files of several names counted once. With ``dry_run`` nothing goes;
    ``among`` is what such a call told: nothing else goes. ``latest``: that run may go, too.

    Raises ArtifactError when the disk refuses.
    """
    items, now = contents(cache, runs, latest=latest), time.time()
    if among is not None:
        told = {item.paths for item in among}
        items = [item for item in items if item.paths in told]
    total = _Total(items)
    gone: list[Item] = []
    held: list[Item] = []
    for item in items:
        old = older_than is not None and now - item.used > older_than
        much = max_size is not None and total.bytes > max_size
        if among is None and item.kind != LEFTOVER and not old and not much:
            continue
        with disk_errors(cache):
            if _remove(cache, item, dry_run):
                gone.append(item)
                total.without(item)
            else:
                held.append(item)
    return Cleaning(gone, held)


class _Total:
    """Bytes of items together, a file of several names counted once."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.bytes = 0
        self._names: dict[Inode, int] = {}
        for item in items:
            for inode, file in item.files.items():
                self.bytes += 0 if inode in self._names else file.size
                self._names[inode] = self._names.get(inode, 0) + file.names

    def without(self, item: Item) -> None:
        for inode, file in item.files.items():
            self._names[inode] -= file.names
            self.bytes -= file.size if self._names[inode] == 0 else 0


def _remove(cache: Path, item: Item, dry_run: bool) -> bool:
    """False when it is in use."""
    if item.name == KILLED and item.kind == LEFTOVER:
        return dry_run or remove_killed(item.paths[0].with_suffix(""))
    if item.kind == RUN:
        return _remove_run(item.paths[0], dry_run)
    if item.kind != STAGE:
        if item.kind != LEFTOVER and _a_run_is_alive(cache):
            return False
        if not dry_run:
            _take_away(cache, item.paths)
        return True
    (folder,) = item.paths
    path = StageCache(cache).lock_file(folder.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = try_lock(path)
    if lock is None:
        return False
    try:
        if not dry_run:
            _take_away(cache, item.paths)
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)
    return True


def _remove_run(folder: Path, dry_run: bool) -> bool:
    """False while a process is at work in it."""
    if dry_run:
        return not is_locked(folder / LOCK)
    there = (folder / LOCK).exists()  # a run that was copied may be without
    lock = try_lock(folder / LOCK) if there else None
    if there and lock is None:
        return False
    try:
        _take_away(folder.parent, [folder])
    finally:
        if lock is not None:
            os.close(lock)
    newest = folder.parent / LATEST
    if newest.is_symlink() and not newest.exists():
        newest.unlink(missing_ok=True)
    return True


def _take_away(cache: Path, paths: Sequence[Path]) -> None:
    """By a rename first: nobody finds half of something."""
    aside = fresh_folder(cache, f".cleaning{TEMPORARY}-")
    for number, path in enumerate(paths):
        with suppress(FileNotFoundError):
            path.rename(aside / str(number))
    shutil.rmtree(aside, ignore_errors=True)


def _a_run_is_alive(cache: Path) -> bool:
    return not all(map(was_killed, run_folders(StageCache(cache).temporary)))


def _stages(cache: Path) -> Iterator[Item]:
    store = StageCache(cache)
    for folder in _inside(store.folder):
        if _KEY.fullmatch(folder.name):
            yield _item(STAGE, _stage_name(folder), [folder], folder.lstat().st_mtime)
    for folder in _inside(store.damaged):
        yield _item(LEFTOVER, f"damaged {folder.name[:12]}", [folder])
    for folder in filter(was_killed, run_folders(store.temporary)):
        paths = [folder, folder.with_suffix(".lock")]
        yield _item(LEFTOVER, KILLED, [path for path in paths if path.exists()])


def _runs(folder: Path, latest: bool) -> Iterator[Item]:
    """The run directories in a folder, and what a cleaning that was killed has left there."""
    newest = (folder / LATEST).resolve() if (folder / LATEST).is_symlink() else None
    for path in directories(folder):
        if path != folder and (latest or path.resolve() != newest):
            yield _item(RUN, path.name, [path], _written(path))
    for left in folder.glob(f".cleaning{TEMPORARY}-*"):
        yield _item(LEFTOVER, left.name, [left])


def _written(run: Path) -> float:
    """When a run, or who wrote its report, last wrote into its directory; below are files that the
    cache and other runs have, too."""
    times = (path.stat().st_mtime for path in _inside(run) if path.is_file())
    return max(times, default=0.0)


def _stage_name(folder: Path) -> str:
    try:
        record = read_json(folder / RECORD)
    except ArtifactError:
        return "?"
    name = record.get("name") if isinstance(record, dict) else None
    return name if isinstance(name, str) and name.isidentifier() else "?"


def _others(cache: Path) -> Iterator[Item]:
    """A folder, or a file, with what lies beside it under its name."""
    for room in (cache / name for name in _ROOMS):
        groups: dict[str, list[Path]] = {}
        for path in _inside(room):
            if not path.name.startswith("."):
                groups.setdefault(_SIDE.sub("", path.name), []).append(path)
        for name, paths in groups.items():
            yield _item(room.name, name, paths)


def _unfinished(cache: Path) -> Iterator[Item]:
    """Files and folders of writers that were killed."""
    yield from (
        _item(LEFTOVER, path.name, [path])
        for path in (*cache.glob(f".cleaning{TEMPORARY}-*"), *cache.glob(f".space.*{TEMPORARY}"))
    )
    for folder in (cache / name for name in _ROOMS):
        for path in (*folder.glob(f".*{TEMPORARY}*"), *folder.glob(f"*/.*{TEMPORARY}")):
            item = _item(LEFTOVER, path.name, [path])
            if time.time() - item.used > _OLD_SECONDS:
                yield item


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _item(kind: str, name: str, paths: Sequence[Path], used: float | None = None) -> Item:
    stats = [stat for path in paths for stat in _stats(path)]
    newest = max((stat.st_mtime for stat in stats), default=0.0)
    files: dict[Inode, File] = {}
    for stat in stats:
        inode = stat.st_dev, stat.st_ino
        names = files[inode].names if inode in files else 0
        files[inode] = File(stat.st_size, names + 1, stat.st_nlink)
    return Item(kind, name, tuple(paths), newest if used is None else used, files)


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Of every file at or below a path; what goes away meanwhile does not count."""
    try:
        if path.is_symlink() or not path.is_dir():
            yield path.lstat()
            return
        for folder, _, names in os.walk(path):
            for name in names:
                with suppress(FileNotFoundError):
                    yield (Path(folder) / name).lstat()
    except FileNotFoundError:
        return
