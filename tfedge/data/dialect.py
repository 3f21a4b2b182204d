"""A CSV as people have it: its encoding, what stands between its cells, its rows."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from tfedge.errors import DataError

# UTF-32 first: its mark begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = (",", ";", "\t", "|")
_SHOWN = 3  # bad lines of one kind
Row = tuple[int, list[str]]  # the number of the line it ends on, and its cells


def rows_of(path: Path, names: Collection[str], most: int | None = None) -> list[Row]:
    """The rows that are not empty, without blanks around cells.

    UTF-8 or UTF-16; commas, semicolons, tabs or bars, as the first line has them, which ``names``
    of columns help to tell. ``most``: no more than so many bytes are looked at, and of these no row
    that they cut. Raises DataError with the line for what is no CSV.
    """
    text, cut = text_of(path, most)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r'"?sep=(.)"?\r?', first, re.IGNORECASE)  # Excel's own first line
    skipped = 1 if told else 0
    delimiter = told[1] if told else _delimiter(first, names)
    return list(_rows(path, rest if told else text, delimiter, skipped, cut))


def some(bad: list[str]) -> list[str]:
    """The first of the bad lines of one kind, and how many more there are."""
    more = len(bad) - _SHOWN
    return [*bad[:_SHOWN], *([f"… and {more} more lines like these"] if more > 0 else [])]


def text_of(path: Path, most: int | None = None) -> tuple[str, bool]:
    """The lines of a table that begin in its first ``most`` bytes and end there, and whether there
    are others. DataError for what is no text."""
    try:
        with path.open("rb") as file:
            raw = file.read(-1 if most is None else most)
            cut = bool(file.read(1))
    except OSError as error:
        raise DataError([f"{path}: can't be read: {error.strerror}"]) from error
    if raw.startswith(b"PK\x03\x04"):
        raise DataError([f"{path}: a spreadsheet or an archive by its content"], "save it as CSV")
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "")
    if not encoding:  # UTF-16 without a mark: every other byte of plain letters is zero
        halves = (raw[:8:2], raw[1:8:2])
        zero = [not any(half) and len(half) > 1 for half in halves]
        encoding = "utf-16-be" if zero[0] else "utf-16-le" if zero[1] else "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw, final=not cut)
        return (text.rpartition("\n")[0] if cut else text), cut
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise DataError(
            [f"{path}: not {name} (byte {error.start})"],
            'save it as UTF-8 (in a spreadsheet: "CSV UTF-8")',
        ) from error


def _delimiter(line: str, names: Collection[str]) -> str:
    """The delimiter that makes most of these names cells of a line, or else most cells."""
    wanted = {name.casefold() for name in names}

    def found(delimiter: str) -> tuple[int, int]:
        cells = [cell.strip().strip('"').casefold() for cell in line.split(delimiter)]
        return sum(cell in wanted for cell in cells), len(cells)

    return max(_DELIMITERS, key=found)  # the first of equals


def _rows(path: Path, text: str, delimiter: str, skipped: int, cut: bool) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num + skipped, [cell.strip() for cell in cells]
    except csv.Error as error:
        if cut:  # in a cell of several lines
            return
        where = f"{path}:{reader.line_num + skipped}"
        raise DataError([f"{where}: no CSV: {error}"], "a quote that is not closed?") from error
