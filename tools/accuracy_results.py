"""Measured cells, one JSON object a line: what the table is made of, and what is done already."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

EPOCH = "2026-11"  # change it when old cells no longer say what tfedge does


class Key(NamedTuple):
    set: str
    backbone: str
    split: int
    column: str


def load(file: Path) -> list[dict[str, Any]]:
    """The cells of this epoch; the last one where a cell is there twice."""
    found = {key_of(row): row for row in rows(file) if row["epoch"] == EPOCH}
    return [*found.values()]


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of measurements, JSON each; none where it is not there.

    A line that a killed process left unfinished, which only the last can be, is no row.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines):
                raise SystemExit(f"{file}: line {number} is not JSON") from None


def key_of(row: Mapping[str, Any]) -> Key:
    return Key(*(row[name] for name in Key._fields))


def missing(keys: Iterable[Key], rows: Iterable[Mapping[str, Any]]) -> list[Key]:
    """Those that are not measured yet, in their order."""
    done = {key_of(row) for row in rows}
    return [key for key in keys if key not in done]


def append(file: Path, key: Key, found: Mapping[str, Any]) -> None:
    """Add a cell."""
    append_row(file, {"epoch": EPOCH, **key._asdict(), **found})


def append_row(file: Path, row: Mapping[str, Any]) -> None:
    """Add a line. An unfinished last one is cut off first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+") as opened:
        opened.seek(0)
        content = opened.read()
        opened.truncate(content.rfind(b"\n") + 1)
        opened.write(json.dumps(row).encode() + b"\n")
