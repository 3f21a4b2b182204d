"""Tables whose rows hold the examples themselves: a text and its label in each row.

Such a table is unpacked into the cache once, as a file for each row and a CSV of paths and labels,
so that it is listed, audited and split as files are. A row's file is named by its line.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tfedge.config.spelling import closest
from tfedge.data.dialect import rows_of, some, text_of
from tfedge.errors import DataError
from tfedge.files.files import shown
from tfedge.files.kept import KeptFolder

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
TABLE = "table.csv"
_LINES = (".jsonl", ".ndjson")
_VERSION = 1  # rises when the same table is unpacked in another way


class RowColumns(NamedTuple):
    """The columns, or keys, of a table: names; None: there is none."""

    text: str
    label: str
    split: str | None = None
    group: str | None = None


class TableRow(NamedTuple):
    """``line`` is the one that it ends on; ``cells`` are by column."""

    line: int
    cells: dict[str, str]


def is_table(path: str) -> bool:
    """Whether the name of a file says that it is a table of rows."""
    return path.lower().endswith(SUFFIXES) and not Path(path).is_dir()


def kept_rows(path: Path, columns: RowColumns, cache: Path) -> KeptFolder:
    """Where a table is unpacked to, or will be: named by the file, as it is now, and the columns.

    DataError where there is no such file.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise DataError([f"{path}: {error.strerror}"], "see data.path") from error
    stamp = (str(path.absolute()), state.st_size, state.st_mtime_ns, state.st_ino, *columns)
    name = hashlib.sha256(json.dumps([_VERSION, *stamp]).encode()).hexdigest()
    folder = cache / "rows" / f"{name[:32]}"
    return KeptFolder(folder, lambda made: unpack(path, columns, made), str(path))


def unpack(path: Path, columns: RowColumns, folder: Path) -> None:
    """Write ``TABLE`` and a file for each row into a new folder. DataError names bad lines."""
    found = rows_in(path, columns)
    names = names_of([row.cells for row in found])
    _check_columns(path, columns, names)
    folder.mkdir(parents=True)
    bad: list[str] = []
    digits = len(str(max((row.line for row in found), default=0)))
    split = columns.split if columns.split is not None else "split" if "split" in names else None
    head = ["path", "label", *(["split"] if split else []), *(["group"] if columns.group else [])]
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row in found:
            text, label = row.cells.get(columns.text), row.cells.get(columns.label)
            if text is None or not label:
                bad.append(_lacking(path, row, columns))
                continue
            name = f"line-{row.line:0{digits}d}.txt"
            (folder / name).write_text(text, encoding="utf-8", newline="")
            more = [row.cells.get(one, "") for one in (split, columns.group) if one]
            writer.writerow([name, label, *more])
    if bad:
        raise _wrong(path, bad)


def names_of(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The columns that rows have, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row))


def check_rows(path: Path, rows: Sequence[TableRow], columns: RowColumns) -> None:
    """DataError that names the lines without a text or a label."""
    bad = [
        _lacking(path, row, columns)
        for row in rows
        if columns.text not in row.cells or not row.cells.get(columns.label)
    ]
    if bad:
        raise _wrong(path, bad)


def _lacking(path: Path, row: TableRow, columns: RowColumns) -> str:
    what = columns.label if columns.text in row.cells else columns.text
    return f"{path}:{row.line}: no {shown(what)}"


def _wrong(path: Path, bad: list[str]) -> DataError:
    return DataError(some(bad), f"correct these lines of {path.name}, or take them out")


def rows_in(path: Path, columns: RowColumns, most: int | None = None) -> list[TableRow]:
    """The rows of a table; ``most``: of its first bytes alone. DataError."""
    lines = path.suffix.lower() in _LINES
    return list(_json_rows(path, most) if lines else _csv_rows(path, columns, most))


def _csv_rows(path: Path, columns: RowColumns, most: int | None = None) -> Iterator[TableRow]:
    rows = rows_of(path, [columns.text, columns.label, columns.split or "split"], most)
    names = [name.strip() for name in rows[0][1]] if rows else []
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            what = f"{path}:{line}: expected {len(names)} cells, got {len(cells)}"
            raise DataError([what], "put texts that hold the delimiter into quotes")
        yield TableRow(line, dict(zip(names, cells, strict=True)))


def _json_rows(path: Path, most: int | None = None) -> Iterator[TableRow]:
    """A JSON object on each line; values become text as they are written."""
    for number, line in enumerate(text_of(path, most)[0].split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DataError([f"{path}:{number}: no JSON object"], "one object a line")
        plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in value.items()}
        yield TableRow(number, {k: v for k, v in plain.items() if v != "null"})


def _check_columns(path: Path, columns: RowColumns, names: Sequence[str]) -> None:
    """DataError for a column that is not there, with the key that names it."""
    wanted = {
        "data.csv.text": columns.text,
        "data.csv.label": columns.label,
        "data.csv.split": columns.split,
        "data.group": columns.group,
    }
    lacking = []
    for key, name in wanted.items():
        if name is not None and name not in names:
            near = closest(name, names)
            also = f", did you mean {shown(near)}?" if near else ""
            lacking.append(f"{path}: {key}: no column {shown(name)}{also}")
    if lacking:
        have = shown(", ".join(names)) or "none"
        hint = f"the columns are: {have}; data.csv: {{text: …, label: …}} says which they are"
        raise DataError(lacking, hint)
