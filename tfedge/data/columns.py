"""Which column of a CSV is what, and what it is where none is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfedge.config.spelling import closest
from tfedge.data.dialect import Row
from tfedge.data.kind import Kind
from tfedge.data.labels import ONE_LABEL
from tfedge.data.listing import SPLIT_NAMES
from tfedge.data.schema import CsvColumns
from tfedge.errors import DataError
from tfedge.files.files import shown

# Headers that other programs write, in lower case and without blanks and underscores.
_PATHS = """path filename file filepath image imagepath imagename imagefile img imgpath imgname
    picture photo id imageid imgid name url uri gcsuri imagegcsuri"""
_LABELS = """label class category target classname labelname categoryname species y tag tags
    annotation classid labelid"""
_BOXES = """xmin ymin xmax ymax x1 y1 x2 y2 bbox boundingbox box boxes bboxx bboxy xcenter ycenter
    xminrel yminrel"""
_MASKS = "mask maskpath masks encodedpixels rle segmentation"
_FLAGS = {"0", "1", "0.0", "1.0", "true", "false", ""}
_LOOKED_AT = 200  # rows, to tell what a column holds


@dataclass(frozen=True)
class Columns:
    """Places of the cells. ``names`` are those of all columns, ``first`` the first row below."""

    names: tuple[str, ...]
    path: int
    label: int
    split: int | None
    group: int | None = None
    first: int = 1
    warnings: tuple[str, ...] = ()


def columns_of(
    file: Path, rows: Sequence[Row], given: CsvColumns | None, group: str | None, kind: Kind
) -> Columns:
    """Finds the columns by the header. DataError, with the key to set, where they can't be told."""
    named = given or CsvColumns()
    names = _header(rows)
    found = _automl(rows, kind) if given is None else None
    if found is None:
        path, label = (_place(names, name) for name in (named.path, named.label))
        split = _place(names, named.split or "split")
        if path is None or label is None or (named.split and split is None):
            raise _unknown(file, names, rows, given, kind)
        found = Columns(names, path, label, split)
        _check_other_tasks(file, found, rows)
    if group is not None:
        found = replace(found, group=_group(file, names, group))
    return _with_unused(file, found, rows)


def _header(rows: Sequence[Row]) -> tuple[str, ...]:
    cells = list(rows[0][1]) if rows else []
    while cells and not cells[-1]:  # a spreadsheet's empty columns
        cells.pop()
    return tuple(cells)


def _place(names: Sequence[str], name: str) -> int | None:
    """Where a name stands: exactly, or else but for upper and lower case."""
    for known, wanted in ((names, name), ([one.casefold() for one in names], name.casefold())):
        if wanted in known:
            return list(known).index(wanted)
    return None


def _key(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name.casefold())


def _automl(rows: Sequence[Row], kind: Kind) -> Columns | None:
    """Google AutoML's rows without a header: TRAIN,path,label."""
    cells = rows[0][1] if rows else []
    if len(cells) < 3 or cells[0].casefold() not in SPLIT_NAMES or not kind.names(_path(cells[1])):
        return None
    more = tuple(f"column {number}" for number in range(4, len(cells) + 1))
    return Columns(("set", "path", "label", *more), 1, 2, 0, first=0)


def _path(cell: str) -> str:
    return cell.replace("\\", "/")


def _unknown(
    file: Path, names: Sequence[str], rows: Sequence[Row], given: CsvColumns | None, kind: Kind
) -> DataError:
    """What the file is instead, as far as it can be told."""
    got = shown(",".join(names)[:80]) or "nothing"
    expected = "expected the header path,label or path,label,split"
    if given is not None:
        pairs = (("path", given.path), ("label", given.label), ("split", given.split))
        lacking = [
            f"{file}:1: data.csv.{key}: no column {shown(name)}{_near(name, names)}"
            for key, name in pairs
            if name and _place(names, name) is None
        ]
        return DataError(lacking, f"the columns are: {got}")
    if any(kind.names(_path(name)) for name in names):
        return DataError(
            [f"{file}:1: {expected}, got a row without a header: {got}"],
            "put the names of the columns on the first line",
        )
    path = next((name for name in names if _key(name) in _PATHS.split()), None)
    label = next((name for name in names if _key(name) in _LABELS.split()), None)
    _check_masks_and_boxes(file, names)
    if path is not None and label is None:
        _check_flags(file, names, [names.index(path)], rows)
    hint = "data.csv: {path: …, label: …} says which columns these are"
    if path is not None and label is not None:
        split = next((name for name in names if _key(name) in ("split", "set", "subset")), None)
        split = f", split: {split}" if split else ""
        hint = f"set data.csv: {{path: {path}, label: {label}{split}}} if these are the columns"
    return DataError([f"{file}:1: {expected}, got {got}"], hint)


def _near(name: str, names: Sequence[str]) -> str:
    near = closest(name, names)
    return f", did you mean {shown(near)}?" if near else ""


def _group(file: Path, names: Sequence[str], group: str) -> int:
    found = _place(names, group)
    if found is None:
        raise DataError(
            [f"{file}:1: data.group: no column {shown(group)}{_near(group, names)}"],
            "name a column, or give a regular expression with one group in parentheses",
        )
    return found


def _check_other_tasks(file: Path, columns: Columns, rows: Sequence[Row]) -> None:
    _check_masks_and_boxes(file, columns.names)
    _check_flags(file, columns.names, [columns.path, columns.label], rows, least=3)


def _check_masks_and_boxes(file: Path, names: Sequence[str]) -> None:
    """DataError for columns of boxes (two at least) or of masks."""
    boxes = [name for name in names if _key(name) in _BOXES.split()]
    masks = [name for name in names if _key(name) in _MASKS.split()]
    what = ""
    if len(boxes) >= 2 or any("box" in _key(name) for name in boxes):
        what = f"columns {', '.join(boxes)} hold boxes: object detection data"
    elif masks:
        what = f"column {masks[0]} holds masks: segmentation data"
    if what:
        raise DataError([f"{file}:1: {what}"], f"{ONE_LABEL}: a CSV of path and label")


def _check_flags(
    file: Path, names: Sequence[str], known: Sequence[int], rows: Sequence[Row], least: int = 2
) -> None:
    """DataError for a column of 0 and 1 for each label."""
    looked = [cells for _, cells in rows[1 : _LOOKED_AT + 1]]
    flags = [
        name
        for place, name in enumerate(names)
        if place not in known
        and name
        and looked
        and all(place < len(cells) and cells[place].casefold() in _FLAGS for cells in looked)
    ]
    if len(flags) >= least:
        listed = ", ".join(map(shown, flags[:5])) + ", …" * (len(flags) > 5)
        raise DataError(
            [f"{file}:1: columns {listed} hold 0 and 1: several labels an example (multi-label)"],
            f"{ONE_LABEL}: a CSV with the columns path and label",
        )


def _with_unused(file: Path, columns: Columns, rows: Sequence[Row]) -> Columns:
    """The columns with a warning of those that nobody reads. DataError where one is a split."""
    used = {columns.path, columns.label, columns.split, columns.group}
    unused = {
        place: name
        for place, name in enumerate(columns.names)
        if place not in used and name and not re.fullmatch(r"(Unnamed: \d+|index)", name)
    }
    looked = rows[columns.first : columns.first + _LOOKED_AT]
    for place, name in unused.items():
        values = {cells[place].casefold() for _, cells in looked if place < len(cells)}
        if columns.split is None and len(values) > 1 and values <= SPLIT_NAMES.keys():
            named = f"path: {columns.names[columns.path]}, label: {columns.names[columns.label]}"
            raise DataError(
                [f"{file}:1: column {shown(name)} holds {', '.join(sorted(values))}: a split?"],
                f"set data.csv: {{{named}, split: {name}}}, or take the column out",
            )
    if not unused:
        return columns
    listed = ", ".join(map(shown, list(unused.values())[:5])) + ", …" * (len(unused) > 5)
    return replace(columns, warnings=(f"columns of {file.name} that are not used: {listed}",))
