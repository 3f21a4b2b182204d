"""What is in a cache, how much it takes, and taking out what is old or left over.

Nothing goes that a running process holds: an entry of the stage cache whose key is locked, and,
while any run is alive on this cache, whatever else runs read (decoded images, features, downloads,
samples, weights).
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tfedge.core.cache import RECORD, StageCache, remove_killed, run_folders, was_killed
from tfedge.errors import ArtifactError
from tfedge.files.artifact import TEMPORARY, disk_errors, read_json
from tfedge.files.files import fresh_folder, try_lock

STAGE, LEFTOVER = "stage", "leftover"
KILLED = "a killed run's"
# What else the rooms of tfedge put into the cache; anything else there is not ours to remove.
_ROOMS = ("downloads", "imagenet", "rows", "samples", "stat", "store", "tools", "wheels")
_KEY = re.compile(r"[0-9a-f]{64}")
_OLD_SECONDS = 3600  # after which a file that is not whole belongs to nobody who still writes it
_SIDE = re.compile(r"(\.files\.json|\.lock|\.unpack\.lock|\.archive(\.part|\.lock)?)$")


@dataclass(frozen=True)
class Item:
    """Something in the cache that can go by itself.

    ``kind`` is "stage", "leftover" or the name of its folder (store, downloads …), ``name`` a
    stage's name or its own, ``paths`` all that belongs to it, ``size`` its bytes, ``freed`` those
    that going would free (run directories hard-link what stages wrote), ``used`` when it was
    written or last used, in Unix seconds.
    """

    kind: str
    name: str
    paths: tuple[Path, ...]
    size: int
    freed: int
    used: float


@dataclass(frozen=True)
class Cleaning:
    """What goes, and what would have gone but is in use."""

    gone: Sequence[Item]
    held: Sequence[Item]

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(item.freed for item in self.gone)


def contents(cache: Path) -> list[Item]:
    """All of tfedge's in a cache, leftovers first, then what was used longest ago.

    Raises ArtifactError when the disk refuses.
    """
    with disk_errors(cache):
        found = [*_stages(cache), *_others(cache), *_unfinished(cache)]
    return sorted(found, key=lambda item: (item.kind != LEFTOVER, item.used, item.paths))


def clean(
    cache: Path,
    *,
    older_than: float | None = None,
    max_size: int | None = None,
    dry_run: bool = False,
) -> Cleaning:
    """Take out what is left over, what was not used for ``older_than`` seconds, and then what was
    used longest ago until no more than ``max_size`` bytes are left. With ``dry_run`` nothing goes.

    Raises ArtifactError when the disk refuses.
    """
    items, now = contents(cache), time.time()
    left = sum(item.size for item in items)
    gone: list[Item] = []
    held: list[Item] = []
    for item in items:
        old = older_than is not None and now - item.used > older_than
        much = max_size is not None and left > max_size
        if item.kind != LEFTOVER and not old and not much:
            continue
        with disk_errors(cache):
            if _remove(cache, item, dry_run):
                gone.append(item)
                left -= item.size
            else:
                held.append(item)
    return Cleaning(gone, held)


def _remove(cache: Path, item: Item, dry_run: bool) -> bool:
    """False when it is in use."""
    if item.name == KILLED and item.kind == LEFTOVER:
        return dry_run or remove_killed(item.paths[0].with_suffix(""))
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
    return Item(
        kind,
        name,
        tuple(paths),
        size=sum(stat.st_size for stat in stats),
        freed=sum(stat.st_size for stat in stats if stat.st_nlink == 1),
        used=newest if used is None else used,
    )


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
