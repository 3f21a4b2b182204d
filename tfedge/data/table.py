"""A CSV of examples: their paths, labels and, if wanted, splits and groups.

``path,label`` or ``path,label,split`` in a header line; ``data.csv`` gives columns of other names.
Paths are relative to the CSV's own folder and may not leave it. Blanks around a cell don't count.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfedge.data.columns import Columns, columns_of
from tfedge.data.dialect import Row, rows_of, some
from tfedge.data.encoding import check_missing
from tfedge.data.kind import IMAGES, Kind
from tfedge.data.labels import ONE_LABEL, check_labels, in_order, label_problem, pinned
from tfedge.data.listing import SPLIT_NAMES, Entry, Listing, Stamp, open_shares, stamp_of
from tfedge.data.schema import CsvColumns, Split
from tfedge.errors import DataError
from tfedge.files.files import shown

SUFFIXES = (".csv", ".tsv")
_WAYS = {
    "labels": ONE_LABEL,
    "windows": "give paths relative to the CSV, such as photos/1.jpg",
    "outside": "lay the CSV into the folder that holds all files",
}
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class _Wrong(str):
    """What is wrong with a row. ``kind`` is the same for rows that are wrong in the same way."""

    kind: str

    def __new__(cls, text: str, kind: str) -> _Wrong:
        made = super().__new__(cls, text)
        made.kind = kind
        return made


def list_csv(
    path: Path,
    explicit: Split | None,
    named: CsvColumns | None = None,
    wanted: Sequence[str] | None = None,
    group: str | None = None,
    until: float | None = None,
    *,
    kind: Kind = IMAGES,
) -> Listing:
    """The files of a kind that a CSV names.

    ``explicit`` is ``data.split``, ``named`` ``data.csv``, ``wanted`` ``data.classes``, ``group``
    the column of ``data.group``. After ``until``, in the seconds of ``time.monotonic``, no more
    rows are looked at: the listing is ``partial``. Raises DataError with bad lines as
    ``file:line: …``.
    """
    asked = named or CsvColumns()
    rows = rows_of(path, [asked.path, asked.label, asked.split or "split"])
    columns = columns_of(path, rows, named, group, kind)
    entries, partial, again = _entries(path, rows[columns.first :], columns, until)
    if again:
        repeated = f"lines of {path.name} that repeat another one, and count once: {again}"
        columns = replace(columns, warnings=(*columns.warnings, repeated))
    return _listing(path, entries, explicit, wanted, columns, partial, kind)


def _entries(
    path: Path, rows: Sequence[Row], columns: Columns, until: float | None
) -> tuple[list[Entry], bool, int]:
    """The entries, whether time ran out before all of them, and how many lines are repeated."""
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    problems: dict[str, list[str]] = defaultdict(list)
    partial, again = False, 0
    for number, cells in rows:
        if until is not None and time.monotonic() > until:
            partial = True
            break
        row = _entry(path.parent, cells, columns)
        if isinstance(row, Entry) and row == entries.get(row.path):
            again += 1
            continue
        if isinstance(row, Entry) and row.path in lines:
            row = _again(row, entries[row.path], lines[row.path])
        if isinstance(row, Entry):
            entries[row.path], lines[row.path] = row, number
        else:
            problems[row.kind].append(f"{path}:{number}: {row}")
    if problems:
        told = [line for found in problems.values() for line in some(found)]
        ways = [way for kind, way in _WAYS.items() if kind in problems]
        raise DataError(told, "; ".join([f"correct these lines of {path.name}", *ways]))
    return list(entries.values()), partial, again


def _again(row: Entry, before: Entry, line: int) -> _Wrong:
    """A path that was there before."""
    what = f"{shown(row.path)} stands on line {line} already"
    if row.label == before.label:
        return _Wrong(what, "twice")
    return _Wrong(f"{what}, as {shown(before.label)}: several labels (multi-label)", "labels")


def _listing(
    path: Path,
    entries: list[Entry],
    explicit: Split | None,
    wanted: Sequence[str] | None,
    columns: Columns,
    partial: bool,
    kind: Kind,
) -> Listing:
    named = {entry.split for entry in entries if entry.split}
    decided, shares = open_shares(named, explicit, str(path))
    labels = {entry.label for entry in entries}
    warnings = [*columns.warnings, *check_labels(labels, str(path))]
    if columns.split is not None and shares:
        what = "train" if decided == "source" else f"all {kind.many}"
        warnings.append(f"no val in the split column: {shares.val:.0%} of {what} is split off")
        entries = [
            entry._replace(split=None if entry.split == "train" else entry.split)
            for entry in entries
        ]
    return Listing(
        path.parent,
        tuple(sorted(entries, key=lambda entry: entry.path)),
        in_order(labels) if wanted is None or partial else pinned(labels, wanted, str(path)),
        "csv" if decided == "source" else "content hash",
        shares,
        kind,
        tuple(warnings),
        partial,
    )


def _entry(folder: Path, cells: list[str], columns: Columns) -> Entry | _Wrong:
    """The entry of one row, or what is wrong with it."""
    count = len(columns.names)
    if len(cells) < count or any(cells[count:]):
        names = ",".join(columns.names)
        return _Wrong(f"expected {count} cells ({names}), got {len(cells)}", "cells")
    label = cells[columns.label]
    split = None if columns.split is None else cells[columns.split]
    if problem := label_problem(label):
        return _Wrong(f"label {shown(label)!r} {problem}", problem)
    if split is not None and split.casefold() not in SPLIT_NAMES:
        return _Wrong(f"split {shown(split)!r} is none of {', '.join(SPLIT_NAMES)}", "split")
    name = _name(folder, cells[columns.path])
    if isinstance(name, _Wrong):
        return name
    group = cells[columns.group] if columns.group is not None else None
    named = SPLIT_NAMES[split.casefold()] if split is not None else None
    stamp = _stamp(folder / name)
    if stamp is None:
        check_missing(folder, name)
    return Entry(name, label, named, stamp, group or None)


def _name(folder: Path, given: str) -> str | _Wrong:
    """A path as the listing has it: relative to the folder, "/" between folders."""
    if not given or "\0" in given:
        return _Wrong("the path has a NUL in it" if given else "the path is empty", "path")
    if _ADDRESS.match(given):
        what = "is an address: fetch the files, and give their paths"
        return _Wrong(f"{shown(given)} {what}", "address")
    if _WINDOWS.match(given):
        what = "is an absolute Windows path; paths are relative to the CSV's folder"
        return _Wrong(f"{shown(given)} {what}", "windows")
    if "\\" in given and _stamp(folder / given) is None:  # else it is a name with a back-slash
        given = given.replace("\\", "/")
    name = posixpath.normpath(given)
    if posixpath.isabs(name):
        name = os.path.relpath(name, Path(folder).absolute())
    if name.startswith("../") or name in ("..", "."):
        return _Wrong(f"{shown(given)} lies outside of the CSV's folder", "outside")
    return name


def _stamp(path: Path) -> Stamp | None:
    """None where there is no file: a bad one, for the audit to name."""
    try:
        info = path.stat()
    except (OSError, ValueError):
        return None
    return stamp_of(info) if stat.S_ISREG(info.st_mode) else None
