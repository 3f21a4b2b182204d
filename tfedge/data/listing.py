"""Which files there are, under which label and split: folders of class folders.

Accepted layouts (all names exact; hidden files and folders are passed over everywhere)::

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tfedge.data.schema import Split
from tfedge.errors import DataError
from tfedge.files.files import shown

SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
# Suffixes that say "image". Those that can't be decoded are bad images, not ignored files.
IMAGE_SUFFIXES = frozenset(
    [
        *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "dib", "webp", "gif"),
        *("tif", "tiff", "heic", "heif", "avif", "jp2", "ico"),
    ]
)
_SPLITLIKE = frozenset(SPLIT_NAMES) | {"training", "testing", "eval", "evaluation", "dev"}
_DEPTH = 16  # folders below a class folder; deeper is a mistake or a loop

Stamp = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode


class Entry(NamedTuple):
    """One file. ``split`` is None where the content hash decides, ``stamp`` if there is no file."""

    path: str  # relative to the root, "/" between folders
    label: str
    split: str | None
    stamp: Stamp | None


@dataclass(frozen=True)
class Listing:
    """All files, sorted by path. ``classes`` has those without an image, too."""

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    split_from: str  # folders | content hash | csv
    shares: Split | None  # for the entries whose split is None
    warnings: tuple[str, ...] = ()


def stamp_of(info: os.stat_result) -> Stamp:
    """What changes when a file does. (ctime too: tools that keep the mtime can't keep that one.)"""
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def label_problem(label: str) -> str | None:
    """Why this can't be a class name (a line of a file, a folder's name), or None."""
    if not label.strip():
        return "is empty"
    if label.strip(".") == "" or "/" in label or "\\" in label:
        return "looks like a path"
    if not label.isprintable():
        return "has control characters or is not UTF-8"
    if label != label.strip():
        return "begins or ends with a blank"
    return "has more than 100 characters" if len(label) > 100 else None


def open_shares(named: set[str], explicit: Split | None, where: str) -> tuple[str, Split | None]:
    """Who decides the split, given the splits that the source names: ("source" | "hash", shares).

    Shares are None when nothing is left to decide. Raises DataError when ``data.split`` says it a
    second time, or splits are named but train is not.
    """
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


def list_folder(root: Path, explicit: Split | None) -> Listing:
    """The images below a folder. Raises DataError for layouts that can be read in two ways."""
    splits = _split_folders(root, [item.name for item in _scan(root) if _is_folder(item)])
    decided, shares = open_shares({SPLIT_NAMES[name] for name in splits}, explicit, str(root))
    walk = _Walk(root)
    if splits:
        for name in splits:
            split = SPLIT_NAMES[name]
            hashed = decided == "hash" or (split == "train" and shares is not None)
            walk.classes_in(name, None if hashed else split)
    else:
        walk.classes_in("", None)
    if walk.problems:
        raise DataError(walk.problems, "rename them")
    warnings = walk.warnings()
    if splits and shares and decided == "source":
        warnings.append(f"no val folder: {shares.val:.0%} of train is split off by content hash")
    return Listing(
        root,
        tuple(sorted(walk.entries, key=lambda entry: entry.path)),
        tuple(sorted(walk.classes)),
        "content hash" if decided == "hash" else "folders",
        shares,
        tuple(warnings),
    )


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

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: list[Entry] = []
        self.classes: set[str] = set()
        self.problems: list[str] = []
        self.ignored: list[str] = []
        self.loose: list[str] = []

    def classes_in(self, folder: str, split: str | None) -> None:
        where = self.root / folder if folder else self.root
        for item in _scan(where):
            path = f"{folder}/{item.name}" if folder else item.name
            if not _is_folder(item):
                (self.loose if _is_image(item.name) else self.ignored).append(path)
            elif problem := label_problem(item.name):
                self.problems.append(f"{shown(path)}: the class name {problem}")
            else:
                self.classes.add(item.name)
                for file, name in _files(where / item.name, path, ()):
                    self._take(file, name, item.name, split)

    def _take(self, file: os.DirEntry[str], path: str, label: str, split: str | None) -> None:
        if not _is_image(file.name):
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
            (self.ignored, "ignored, no image by name"),
            (self.loose, "ignored, in no class folder"),
        ):
            if paths:
                count = f"{len(paths)} file{'s' * (len(paths) > 1)}"
                lines.append(f"{count} {what}: {', '.join(map(shown, sorted(paths)[:3]))}")
                lines[-1] += ", …" * (len(paths) > 3)
        return lines


def _is_image(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    return stem != "" and suffix.lower() in IMAGE_SUFFIXES


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return sorted(
                (item for item in items if not item.name.startswith((".", "__MACOSX"))),
                key=lambda item: item.name,
            )
    except OSError as error:
        raise DataError([f"{folder}: can't be listed: {error.strerror}"]) from error


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _files(
    folder: Path, path: str, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """All files below a class folder. Links are followed, but not in a circle."""
    info = folder.stat()
    here = (info.st_dev, info.st_ino)
    if here in above or len(above) > _DEPTH:
        raise DataError(
            [f"{folder}: folders {'in a circle' if here in above else f'deeper than {_DEPTH}'}"],
            "remove the link that leads back up",
        )
    for item in _scan(folder):
        name = f"{path}/{item.name}"
        if _is_folder(item):
            yield from _files(folder / item.name, name, (*above, here))
        else:
            yield item, name
