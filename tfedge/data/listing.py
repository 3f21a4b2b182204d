"""Which files there are, under which label and split: folders of class folders.

Accepted layouts (all names exact; hidden files and folders, and what network drives and file
managers leave, are passed over everywhere)::

    root/CLASS/**.jpg                      split by content hash (``data.split``)
    root/train/CLASS/**  root/val/CLASS/**  [root/test/CLASS/**]
                                           val may be called validation or valid
    root/train/CLASS/**  root/test/CLASS/** val is split off train by content hash
    root/train/CLASS/**                    as if train/ were the root

Nothing is opened here: names and ``stat`` only, so that ``--dry-run`` stays fast.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tfedge.data.encoding import check_listed
from tfedge.data.junk import is_junk
from tfedge.data.kind import IMAGES, Kind
from tfedge.data.labels import check_labels, in_order, label_problem, pinned
from tfedge.data.schema import Split, Whole
from tfedge.errors import DataError
from tfedge.files.files import shown

SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_SPLITLIKE = frozenset(SPLIT_NAMES) | {"training", "testing", "eval", "evaluation", "dev"}
_JUNK = 10_000  # passed-over files of the kind that are counted in one folder
_DEPTH = 16  # folders below a class folder; deeper is a mistake or a loop

Stamp = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode


class Entry(NamedTuple):
    """One file. ``split`` is None where the content hash decides, ``stamp`` if there is no file."""

    path: str  # relative to the root, "/" between folders
    label: str
    split: str | None
    stamp: Stamp | None
    group: str | None = None  # what it must not be parted from


@dataclass(frozen=True)
class Listing:
    """All files of one kind, sorted by path. ``classes`` has those without a file, too.

    ``partial``: time ran out before all files were looked at. ``order`` tells where the order of
    the classes is from when that is an earlier run.
    """

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    split_from: str  # folders | content hash | csv
    shares: Split | None  # for the entries whose split is None
    kind: Kind
    warnings: tuple[str, ...] = ()
    partial: bool = False
    order: str | None = None


def stamp_of(info: os.stat_result) -> Stamp:
    """What changes when a file does. (ctime too: tools that keep the mtime can't keep that one.)"""
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def open_shares(named: set[str], explicit: Split | None, where: str) -> tuple[str, Split | None]:
    """Who decides the split, given the splits that the source names: ("source" | "hash", shares).

    Shares are None when nothing is left to decide, or nothing is split off. Raises DataError when
    ``data.split`` says it a second time, or splits are named but train is not.
    """
    if isinstance(explicit, Whole):
        return "source" if named else "hash", None
    if not named or named == {"train"}:
        return "hash", explicit or Split()
    if "train" not in named:
        raise DataError(
            [f"{where}: has {' and '.join(sorted(named))} but no train"],
            "name the training split train, or give one unsplit folder of class folders",
        )
    if explicit and ("val" in named or explicit.test):
        raise DataError(
            [f"{where}: data.split is given, and the data say the split themselves"],
            "remove data.split from the pipeline file, or point data.path at an unsplit folder",
        )
    return "source", None if "val" in named else Split(val=(explicit or Split()).val)


def list_folder(
    root: Path,
    explicit: Split | None,
    wanted: Sequence[str] | None = None,
    until: float | None = None,
    *,
    kind: Kind = IMAGES,
) -> Listing:
    """The files of a kind below a folder.

    ``explicit`` is ``data.split``, ``wanted`` ``data.classes``. After ``until``, in the seconds of
    ``time.monotonic``, no more files are looked at: the listing is ``partial``. Raises DataError
    for layouts that can be read in two ways, and for data of other tasks.
    """
    walk = _Walk(root, until, kind)
    splits = _splits(walk)
    decided, shares = open_shares({SPLIT_NAMES[name] for name in splits}, explicit, str(root))
    for name in splits or [""]:
        split = SPLIT_NAMES.get(name)
        hashed = decided == "hash" or (split == "train" and shares is not None)
        walk.classes_in(name, None if hashed else split)
    walk.check_layout()
    if walk.problems:
        raise DataError(walk.problems, "rename them")
    warnings = [*check_labels(walk.classes, str(root)), *walk.warnings()]
    if splits and shares and decided == "source":
        warnings.append(f"no val folder: {shares.val:.0%} of train is split off by content hash")
    return Listing(
        root,
        tuple(sorted(walk.entries, key=lambda entry: entry.path)),
        in_order(walk.classes) if wanted is None else pinned(walk.classes, wanted, str(root)),
        "content hash" if decided == "hash" else "folders",
        shares,
        kind,
        tuple(warnings),
        walk.partial,
    )


def _splits(walk: _Walk) -> list[str]:
    """The folders that name splits. DataError where that is not clear, unless the data are those of
    another task, and that is why."""
    try:
        names = [item.name for item in walk.scan(walk.root) if _is_folder(item)]
        return _split_folders(walk.root, names)
    except DataError:
        walk.classes_in("", None)
        walk.check_layout()
        raise


def _split_folders(root: Path, names: list[str]) -> list[str]:
    """The folders that name splits; none when this is a folder of class folders."""
    found = [name for name in names if name in SPLIT_NAMES]
    others = [shown(name) for name in names if name not in SPLIT_NAMES]
    if others and all(name.lower() in _SPLITLIKE for name in names):
        raise DataError(
            [f"{root}: {', '.join(others)} looks like a split, by another name"],
            "name the folders train, val (validation, valid) and test, exactly",
        )
    if others and len(found) > 1:
        raise DataError(
            [f"{root}: beside {', '.join(found)} there is {others[0]}: split or class?"],
            "keep only train, val (validation, valid) and test in this folder, or only classes",
        )
    if len({SPLIT_NAMES[name] for name in found}) < len(found):
        raise DataError([f"{root}: {', '.join(found)}: two folders for one split"], "keep one")
    return [] if others else found


class _Walk:
    """Collects entries, and what is wrong or worth a warning on the way."""

    def __init__(self, root: Path, until: float | None, kind: Kind) -> None:
        self.root = root
        self.kind = kind
        self.until = until
        self.partial = False
        self.entries: list[Entry] = []
        self.classes: set[str] = set()
        self.problems: list[str] = []
        self.ignored: list[str] = []
        self.loose: list[str] = []
        self.junk: set[str] = set()  # files of the kind among what is passed over

    def classes_in(self, folder: str, split: str | None) -> None:
        where = self.root / folder if folder else self.root
        for item in self.scan(where, folder):
            path = f"{folder}/{item.name}" if folder else item.name
            if not _is_folder(item):
                (self.loose if self.kind.names(item.name) else self.ignored).append(path)
            elif problem := label_problem(item.name):
                self.problems.append(f"{shown(path)}: the class name {problem}")
            else:
                self.classes.add(item.name)
                for file, name in self._files(where / item.name, path, ()):
                    self._take(file, name, item.name, split)

    def check_layout(self) -> None:
        """DataError for data of another task."""
        if self.kind.layout is not None:
            files = [*(entry.path for entry in self.entries), *self.loose]
            self.kind.layout(str(self.root), self.classes, files, self.ignored)

    def scan(self, folder: Path, path: str = "") -> list[os.DirEntry[str]]:
        """What is in a folder, by name; junk is only counted."""
        try:
            with os.scandir(folder) as items:
                found = sorted(items, key=lambda item: item.name)
        except OSError as error:
            raise DataError([f"{folder}: can't be listed: {error.strerror}"]) from error
        check_listed(folder, [item.name for item in found])
        for item in found:
            if is_junk(item.name):
                self.junk |= _in_junk(item, f"{path}/{item.name}" if path else item.name, self.kind)
        return [item for item in found if not is_junk(item.name)]

    def _files(
        self, folder: Path, path: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[os.DirEntry[str], str]]:
        """All files below a class folder. Links are followed, but not in a circle."""
        info = folder.stat()
        here = (info.st_dev, info.st_ino)
        if here in above or len(above) > _DEPTH:
            what = "in a circle" if here in above else f"deeper than {_DEPTH}"
            raise DataError([f"{folder}: folders {what}"], "remove the link that leads back up")
        for item in self.scan(folder, path):
            if self.until is not None and time.monotonic() > self.until:
                self.partial = True
                return
            name = f"{path}/{item.name}"
            if _is_folder(item):
                yield from self._files(folder / item.name, name, (*above, here))
            else:
                yield item, name

    def _take(self, file: os.DirEntry[str], path: str, label: str, split: str | None) -> None:
        if not self.kind.names(file.name):
            self.ignored.append(path)
            return
        try:
            path.encode()
        except UnicodeEncodeError:
            self.problems.append(f"{shown(path)}: the file name is not UTF-8")
            return
        try:
            info = file.stat()
            stamp = stamp_of(info) if stat.S_ISREG(info.st_mode) else None
        except OSError:  # a broken link: the audit names it
            stamp = None
        self.entries.append(Entry(path, label, split, stamp))

    def warnings(self) -> list[str]:
        lines = []
        for paths, what in (
            (sorted(self.ignored), f"ignored, no {self.kind.one} by name"),
            (sorted(self.loose), "ignored, in no class folder"),
            (sorted(self.junk), "passed over, hidden or of a system's own (thumbnails, trash)"),
        ):
            if paths:
                count = f"{len(paths)} file{'s' * (len(paths) > 1)}"
                lines.append(f"{count} {what}: {', '.join(map(shown, paths[:3]))}")
                lines[-1] += ", …" * (len(paths) > 3)
        return lines


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _in_junk(item: os.DirEntry[str], path: str, kind: Kind) -> set[str]:
    """The files of a kind that are passed over with it; a folder that can't be read has none."""
    if not _is_folder(item) or item.is_symlink():
        return {path} if kind.names(item.name) else set()
    found: set[str] = set()
    for folder, _, names in os.walk(item.path):
        below = folder.removeprefix(item.path).replace(os.sep, "/")
        found |= {f"{path}{below}/{name}" for name in names if kind.names(name)}
        if len(found) > _JUNK:
            break
    return found
