"""A CSV of images: ``path,label`` and, if wanted, ``split``. UTF-8, commas, a header line.

Paths are relative to the CSV's own folder and may not leave it. Blanks around a cell don't count.
"""

from __future__ import annotations

import csv
import io
import posixpath
import stat
from pathlib import Path

from tfedge.data.listing import (
    SPLIT_NAMES,
    Entry,
    Listing,
    Stamp,
    label_problem,
    open_shares,
    stamp_of,
)
from tfedge.data.schema import Split
from tfedge.errors import DataError
from tfedge.files.files import shown

_HEADERS = (["path", "label"], ["path", "label", "split"])
_SHOWN = 20


def list_csv(path: Path, explicit: Split | None) -> Listing:
    """The images that a CSV names. Raises DataError with every bad line as ``file:line: …``."""
    rows = _read(path)
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if header not in _HEADERS:
        got = shown(",".join(header)[:80]) or "nothing"
        raise DataError(
            [f"{path}:1: expected the header path,label or path,label,split, got {got}"]
        )
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    for number, cells in rows[1:]:
        row = _entry(path.parent, [cell.strip() for cell in cells], header)
        if isinstance(row, Entry) and row.path in lines:
            row = f"{shown(row.path)} stands on line {lines[row.path]} already"
        if isinstance(row, Entry):
            entries[row.path], lines[row.path] = row, number
        else:
            problems.append(f"{path}:{number}: {row}")
    if problems:
        more = [f"and {len(problems) - _SHOWN} more lines"] if len(problems) > _SHOWN else []
        raise DataError(problems[:_SHOWN] + more, f"correct these lines of {path.name}")
    return _listing(path, list(entries.values()), explicit, has_split=len(header) == 3)


def _listing(path: Path, entries: list[Entry], explicit: Split | None, has_split: bool) -> Listing:
    named = {entry.split for entry in entries if entry.split}
    decided, shares = open_shares(named, explicit, str(path))
    warnings = []
    if has_split and shares:
        what = "train" if decided == "source" else "all images"
        warnings.append(f"no val in the split column: {shares.val:.0%} of {what} is split off")
        entries = [
            Entry(e.path, e.label, None if e.split == "train" else e.split, e.stamp)
            for e in entries
        ]
    return Listing(
        path.parent,
        tuple(sorted(entries, key=lambda entry: entry.path)),
        tuple(sorted({entry.label for entry in entries})),
        "csv" if decided == "source" else "content hash",
        shares,
        tuple(warnings),
    )


def _read(path: Path) -> list[tuple[int, list[str]]]:
    """Non-empty rows with the number of the line they end on."""
    try:
        reader = csv.reader(
            io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True
        )
    except UnicodeDecodeError as error:
        raise DataError([f"{path}: not UTF-8 (byte {error.start})"], "save it as UTF-8") from error
    except OSError as error:
        raise DataError([f"{path}: can't be read: {error.strerror}"]) from error
    try:
        return [(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise DataError([f"{path}:{reader.line_num}: no CSV: {error}"]) from error


def _entry(folder: Path, cells: list[str], header: list[str]) -> Entry | str:
    """The entry of one row, or what is wrong with it."""
    if len(cells) != len(header):
        return f"expected {len(header)} cells ({','.join(header)}), got {len(cells)}"
    given, label, split = cells[0], cells[1], cells[2] if len(cells) == 3 else None
    if problem := label_problem(label):
        return f"label {shown(label)!r} {problem}"
    if split is not None and split not in SPLIT_NAMES:
        return f"split {shown(split)!r} is none of {', '.join(SPLIT_NAMES)}"
    name = posixpath.normpath(given) if given else ""
    if not name or "\0" in name:
        return "the path is empty" if not name else "the path has a NUL in it"
    if name.startswith(("/", "../")) or name == ".." or Path(name).is_absolute():
        return f"{shown(given)} lies outside of the CSV's folder"
    return Entry(name, label, SPLIT_NAMES[split] if split else None, _stamp(folder / name))


def _stamp(path: Path) -> Stamp | None:
    """None where there is no file: a bad image, for the audit to name."""
    try:
        info = path.stat()
    except OSError:
        return None
    return stamp_of(info) if stat.S_ISREG(info.st_mode) else None
