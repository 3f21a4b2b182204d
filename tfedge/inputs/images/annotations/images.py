"""The images that annotations may name: those below the data root."""

from __future__ import annotations

import os
import stat
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tfedge.data.encoding import check_listed
from tfedge.data.junk import is_junk
from tfedge.data.kind import IMAGES
from tfedge.data.listing import SPLIT_NAMES, Stamp, stamp_of
from tfedge.errors import DataError

_DEPTH = 16
_MOST = 2_000_000  # files


class Images:
    """By their paths relative to the root, "/" between folders."""

    def __init__(self, stamps: dict[str, Stamp | None]) -> None:
        self.stamps = stamps
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._names: dict[str, list[str]] = defaultdict(list)
        for path in stamps:
            pure = PurePosixPath(path)
            self._stems[pure.stem].append(path)
            self._names[pure.name].append(path)

    def by_stem(self, stem: str, name: str = "") -> str | None:
        """The image of that name without its suffix, or else of that whole name; None where there
        is none, or several."""
        for found in (self._stems.get(stem, []), self._names.get(PurePosixPath(name).name, [])):
            if len(found) == 1:
                return found[0]
        return None

    def by_path(self, name: str, folders: Sequence[str] = ("",)) -> str | None:
        """The image at a path below one of these folders, or else the only one of its name."""
        plain = PurePosixPath(name.replace("\\", "/"))
        if ".." in plain.parts or plain.is_absolute():
            return None
        for folder in folders:
            path = (PurePosixPath(folder) / plain).as_posix()
            if path in self.stamps:
                return path
        found = self._names.get(plain.name, [])
        return found[0] if len(found) == 1 else None

    @staticmethod
    def split_of(path: str) -> str | None:
        """The split that one of a path's folders names, if any does."""
        folders = PurePosixPath(path).parts[:-1]
        return next((SPLIT_NAMES[part] for part in folders if part in SPLIT_NAMES), None)


def walked(root: Path, until: float | None = None) -> tuple[Images, list[str], bool]:
    """The images below a root, all other files by path, and whether time ran out before all were
    seen. DataError for what can't be listed."""
    stamps: dict[str, Stamp | None] = {}
    others: list[str] = []
    waiting, seen, count = [("", 0)], set[tuple[int, int]](), 0
    while waiting:
        below, depth = waiting.pop()
        folder = root / below
        try:
            info = folder.stat()
            if (info.st_dev, info.st_ino) in seen or depth > _DEPTH:
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as items:
                found = sorted(items, key=lambda item: item.name)
        except OSError as error:
            raise DataError([f"{folder}: can't be listed: {error.strerror}"]) from error
        check_listed(folder, [item.name for item in found])
        for item in found:
            if until is not None and time.monotonic() > until:
                return Images(stamps), others, True
            path = f"{below}/{item.name}" if below else item.name
            count += 1
            if count > _MOST:
                raise DataError([f"{root}: more than {_MOST:,} files"], "name a smaller folder")
            if is_junk(item.name):
                continue
            if _is_folder(item):
                waiting.append((path, depth + 1))
            elif IMAGES.names(item.name):
                stamps[path] = _stamp(item)
            else:
                others.append(path)
    return Images(dict(sorted(stamps.items()))), sorted(others), False


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


def _stamp(item: os.DirEntry[str]) -> Stamp | None:
    try:
        info = item.stat()
    except OSError:
        return None
    return stamp_of(info) if stat.S_ISREG(info.st_mode) else None
