"""File names under a locale that is not UTF-8: UTF-8 on the disk, they are read as other names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tfedge.errors import DataError
from tfedge.files.files import shown

_UTF8 = "utf-8"


def check_listed(folder: Path, names: Iterable[str]) -> None:
    """DataError for a name that the system gave in the locale's encoding, and that is UTF-8."""
    if sys.getfilesystemencoding() != _UTF8:
        for name in names:
            if not name.isascii() and _is_utf8(os.fsencode(name)):
                raise _misread(folder, name)


def check_missing(folder: Path, name: str) -> None:
    """DataError for a file that is there under this name in UTF-8, and in the locale's encoding
    is not."""
    if name.isascii() or sys.getfilesystemencoding() == _UTF8:
        return
    if (folder / os.fsdecode(name.encode(_UTF8, "surrogateescape"))).exists():
        raise _misread(folder, name)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode(_UTF8)
    except UnicodeDecodeError:
        return False
    return True


def _misread(folder: Path, name: str) -> DataError:
    encoding = sys.getfilesystemencoding()
    what = f"{folder}: {shown(name)} is UTF-8, and file names are read as {encoding}"
    return DataError([what], "set PYTHONUTF8=1, or a locale of UTF-8")
