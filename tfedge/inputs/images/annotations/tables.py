"""CSV: a row for each box, ``path,label,xmin,ymin,xmax,ymax`` and, if wanted, ``split``, in pixels
from the left and top edge. A row without label and corners is an image without boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tfedge.data.dialect import rows_of
from tfedge.data.listing import SPLIT_NAMES
from tfedge.errors import ArtifactError, DataError
from tfedge.files.files import shown
from tfedge.files.whole import whole
from tfedge.inputs.images.annotations.audit import Seen, seen
from tfedge.inputs.images.annotations.images import Images
from tfedge.inputs.images.annotations.model import Annotation, Collector, Notes

SUFFIX = ".csv"
_MOST_BYTES = 512 * 2**20
_CALLED = {  # columns, and what others call them
    "path": ("path", "filename", "file", "image"),
    "label": ("label", "class", "name"),
    "xmin": ("xmin", "x1", "left"),
    "ymin": ("ymin", "y1", "top"),
    "xmax": ("xmax", "x2", "right"),
    "ymax": ("ymax", "y2", "bottom"),
}
_HEAD = 1 << 16  # bytes, to look at the columns
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def files(root: Path, names: Sequence[str]) -> list[str]:
    """Those of the files below a root that are tables."""
    return [name for name in names if name.lower().endswith(SUFFIX)]


def has_boxes(path: Path) -> bool:
    """Whether the first line of a table names the columns of boxes."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        rows = rows_of(path, [*_CALLED, "split"], _HEAD)
    except DataError:
        return False
    return bool(rows) and None not in _columns(rows[0][1]).values()


def _columns(head: Sequence[str]) -> dict[str, int | None]:
    """Where each column stands."""
    plain = [cell.casefold() for cell in head]
    return {
        key: next((plain.index(called) for called in others if called in plain), None)
        for key, others in _CALLED.items()
    }


def read(root: Path, names: list[str], images: Images, notes: Notes) -> list[Annotation]:
    """The annotations in these files, relative to the root."""
    found: list[Annotation] = []
    for name in files(root, names):
        found += _read(root, name, images, notes)
    return found


def _read(root: Path, name: str, images: Images, notes: Notes) -> list[Annotation]:
    path = root / name
    try:
        whole(path, _MOST_BYTES)
        rows = rows_of(path, [*_CALLED, "split"])
    except ArtifactError as error:
        notes.problems.append(error.message)
        return []
    except DataError as error:
        notes.problems += error.problems
        return []
    if not rows:
        notes.wrong(str(path), "is empty")
        return []
    head = [cell.casefold() for cell in rows[0][1]]
    columns = _columns(head)
    lacking = [key for key, place in columns.items() if place is None]
    if lacking:
        notes.wrong(f"{path}:1", f"no column {', '.join(lacking)} among {shown(', '.join(head))}")
        return []
    places = {key: place for key, place in columns.items() if place is not None}
    if "split" in head:
        places["split"] = head.index("split")
    return _boxes(root, name, len(head), rows[1:], places, images, notes)


def _boxes(
    root: Path,
    name: str,
    width: int,
    rows: Sequence[tuple[int, list[str]]],
    places: dict[str, int],
    images: Images,
    notes: Notes,
) -> list[Annotation]:
    path, folder = root / name, str(PurePosixPath(name).parent)
    sizes: dict[str, Seen] = {}
    collectors: dict[str, Collector] = {}
    found: dict[str, Annotation] = {}
    for line, cells in rows:
        where = f"{path}:{line}"
        if len(cells) != width:
            notes.wrong(where, f"expected {width} cells, got {len(cells)}")
            continue
        said = {key: cells[place] for key, place in places.items()}
        image = images.by_path(said["path"], (folder, ""))
        if image is None:
            notes.wrong(where, f"its image, {shown(said['path'])}, is not there")
            continue
        split = said.get("split") or None
        if split is not None and split.casefold() not in SPLIT_NAMES:
            told = ", ".join(SPLIT_NAMES)
            notes.wrong(where, f"split {shown(split)!r} is none of {told}")
            continue
        split = SPLIT_NAMES[split.casefold()] if split else images.split_of(image)
        if image not in found:
            size = seen(root / image)
            if size is None or size.orientation != 1:
                what = "its EXIF block turns the image, and its boxes don't say for which way they"
                told = "can't be read as an image" if size is None else f"{what} are"
                notes.wrong(where, f"{shown(image)}: {told}")
                continue
            sizes[image] = size
            collectors[image] = Collector(notes, size.width, size.height)
            found[image] = Annotation(image, (), where, size.width, size.height, split)
        elif found[image].split != split:
            notes.wrong(where, f"{shown(image)} is in {found[image].split or 'no split'}, too")
            continue
        _box(where, said, collectors[image], notes)
    return [replace(one, boxes=collectors[key].found()) for key, one in found.items()]


def _box(where: str, said: dict[str, str], collector: Collector, notes: Notes) -> None:
    corners = [said[corner] for corner in _CORNERS]
    if not said["label"] and not any(corners):
        return  # an image without boxes
    try:
        values = [float(corner) for corner in corners]
    except ValueError:
        notes.wrong(where, f"{shown(','.join(corners))!r} is no four numbers")
        return
    if all(map(math.isfinite, values)) and min(values) < 0 and max(values) <= 0:
        notes.wrong(where, f"the box {shown(','.join(corners))} is negative")
        return
    collector.add(where, said["label"], values)
