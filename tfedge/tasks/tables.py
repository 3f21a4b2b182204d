"""Which column of a table could be what, for a first pipeline: asked, where several could."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfedge.data.labels import label_problem
from tfedge.data.listing import SPLIT_NAMES
from tfedge.errors import DataError
from tfedge.files.files import few, shown

Rows = Sequence[Mapping[str, str]]
_LONG = 40  # characters; longer ones, on average, are no labels
_WORDS = 2.5  # on average; fewer are no texts


def the_only(tables: Sequence[Path], root: Path, what: str) -> Path:
    """The table that a folder has; DataError where there are several, of which it is said ``what``
    they do there."""
    if len(tables) > 1:
        raise DataError(
            [f"{root}: several tables {what}: {', '.join(map(str, tables))}"],
            "say which one: tfedge init FILE; or put their rows into one, with a column split",
        )
    return tables[0]


def column(key: str, names: Collection[str], given: Mapping[str, Any]) -> str | None:
    """The column that was said to be ``data.csv.KEY``, or else has the name of the key."""
    said = given.get(f"data.csv.{key}")
    return said if isinstance(said, str) else key if key in names else None


def split_column(rows: Rows) -> str | None:
    """The column whose values are names of splits."""
    for name, values in _values(rows).items():
        found = {value.casefold() for value in values}
        if len(found) > 1 and found <= SPLIT_NAMES.keys():
            return name
    return None


def label_column(table: Path, rows: Rows, taken: Collection[str | None]) -> str:
    """The only column that could hold labels. DataError where none could, or several."""
    return _only(table, "label", "labels", rows, taken, _may_be_labels)


def text_column(table: Path, rows: Rows, taken: Collection[str | None]) -> str:
    """The only column that could hold texts. DataError where none could, or several."""
    return _only(table, "text", "texts", rows, taken, _may_be_texts)


def _only(
    table: Path, key: str, what: str, rows: Rows, taken: Collection[str | None], fits: Any
) -> str:
    values = {name: found for name, found in _values(rows).items() if name not in taken}
    fitting = [name for name, found in values.items() if fits(found)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        have = ", ".join(map(shown, values)) or "none"
        raise DataError(
            [f"{table}: no column looks like {what} ({have})"],
            f"say which one it is: --set data.csv.{key}=COLUMN",
        )
    told = [f"{shown(name)} ({few(sorted(set(values[name])))})" for name in fitting]
    raise DataError(
        [f"{table}: several columns could hold the {what}: {'; '.join(told)}"],
        f"say which one it is: --set data.csv.{key}={fitting[0]}",
    )


def _values(rows: Rows) -> dict[str, list[str]]:
    """What is in each column, without empty cells."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for name, cell in row.items():
            found.setdefault(name, [])
            if cell:
                found[name].append(cell)
    return {name: values for name, values in found.items() if name}


def _may_be_labels(values: Sequence[str]) -> bool:
    """Few different short ones, each several times."""
    different = set(values)
    short = sum(map(len, different)) <= _LONG * len(different)
    repeated = 2 <= len(different) <= max(2, len(values) // 2)
    return repeated and short and not any(map(label_problem, different))


def _may_be_texts(values: Sequence[str]) -> bool:
    """Many different ones of several words."""
    words = sum(len(value.split()) for value in values)
    return len(set(values)) > len(values) / 2 and words >= _WORDS * len(values)
