"""Text files with marks in them: ``@name@`` and the like give way to what they stand for."""

from __future__ import annotations

import re
from pathlib import Path

_MARK = re.compile(r"@([a-z_]+)@")
_SUFFIX = ".txt"  # keeps templates from being taken for code of this project


def fill(folder: Path, file: str, /, **values: str) -> bytes:
    """The template ``file`` (its ``.txt`` left out) in ``folder`` with every ``@key@`` filled in,
    UTF-8; as it is when no values are given.

    KeyError for a mark without a value.
    """
    text = (folder / f"{file}{_SUFFIX}").read_text(encoding="utf-8")
    return (_MARK.sub(lambda mark: values[mark[1]], text) if values else text).encode("utf-8")


def texts(folder: Path) -> dict[str, bytes]:
    """All templates below ``folder`` as they are, by path relative to it, sorted."""
    paths = sorted(path for path in folder.rglob(f"*{_SUFFIX}") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
