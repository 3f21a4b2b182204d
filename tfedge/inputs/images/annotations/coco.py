"""COCO: one JSON for many images. Boxes are left, top, width, height in pixels; ids have holes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from tfedge.data.listing import SPLIT_NAMES
from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json
from tfedge.files.files import shown
from tfedge.files.whole import whole
from tfedge.inputs.images.annotations.images import Images
from tfedge.inputs.images.annotations.model import Annotation, Collector, Notes

SUFFIX = ".json"
_MOST_BYTES = 2**30  # COCO's own, of 118,287 images, has 450 MB
_KEYS = ("images", "annotations", "categories")
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|valid|validation|test)(?:\d{4})?(?:[^a-z]|$)")


def files(root: Path, names: Sequence[str]) -> list[str]:
    """Those of the files below a root that are annotations: JSON in a folder ``annotations``, or
    called annotations, instances or coco."""
    found = []
    for name in names:
        pure = PurePosixPath(name.lower())
        told = pure.parent.name == "annotations" or re.search("annot|instances|coco", pure.name)
        if pure.suffix == SUFFIX and told:
            found.append(name)
    return found


def split_of(name: str) -> str | None:
    """The split that the path of a file says: ``instances_val2017.json``, ``valid/….json``."""
    pure = PurePosixPath(name.lower())
    found = _SPLIT.search(pure.stem)
    return SPLIT_NAMES[found[1]] if found else Images.split_of(name)


def read(root: Path, names: list[str], images: Images, notes: Notes) -> list[Annotation]:
    """The annotations in these files, relative to the root."""
    found: list[Annotation] = []
    for name in files(root, names):
        found += _read(root / name, name, images, notes)
    return found


def _read(path: Path, name: str, images: Images, notes: Notes) -> list[Annotation]:
    try:
        raw = parse_json(whole(path, _MOST_BYTES))
    except ArtifactError as error:
        notes.problems.append(error.message)
        return []
    except ValueError as error:
        notes.wrong(str(path), f"no JSON: {error}")
        return []
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), list) for key in _KEYS):
        notes.wrong(str(path), f"not COCO: it needs the lists {', '.join(_KEYS)}")
        return []
    categories = _categories(path, raw["categories"], notes)
    collectors, found = _images(path, name, raw["images"], images, notes)
    for number, row in enumerate(raw["annotations"]):
        _box(path, number, row, categories, collectors, notes)
    return [replace(one, boxes=collectors[key].found()) for key, one in found.items()]


def _categories(path: Path, rows: list[Any], notes: Notes) -> dict[int, str]:
    known: dict[int, str] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not _is_id(row.get("id")) or not _is_text(row.get("name")):
            notes.wrong(f"{path}: category {number}", "needs an id and a name")
        elif row["id"] in known:
            notes.wrong(f"{path}: category id {row['id']}", "stands there twice")
        else:
            known[row["id"]] = row["name"]
    return known


def _images(
    path: Path, name: str, rows: list[Any], images: Images, notes: Notes
) -> tuple[dict[int, Collector], dict[int, Annotation]]:
    """What collects the boxes of each image, and its annotation without them, by its id."""
    folder, split = PurePosixPath(name).parent, split_of(name)
    near = (*(str(one) for one in (folder, folder.parent)), "images", "JPEGImages")
    if split is not None:
        near = (*near, f"images/{split}", split, f"{split}2017")
    collectors: dict[int, Collector] = {}
    found: dict[int, Annotation] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not _is_id(row.get("id")):
            notes.wrong(f"{path}: image {number}", "needs an id")
            continue
        where = f"{path}: image id {row['id']}"
        if row["id"] in found:
            notes.wrong(where, "stands there twice")
            continue
        width, height, file = (row.get(key) for key in ("width", "height", "file_name"))
        if not isinstance(width, int) or not isinstance(height, int) or min(width, height) < 1:
            notes.wrong(where, f"width {width!r} and height {height!r} are no pixels")
            continue
        if not _is_text(file):
            notes.wrong(where, "has no file_name")
            continue
        image = images.by_path(str(file), near)
        if image is None:
            notes.wrong(where, f"its image, {shown(str(file))}, is not there")
            continue
        collectors[row["id"]] = Collector(notes, width, height)
        found[row["id"]] = Annotation(image, (), where, width, height, split)
    return collectors, found


def _box(
    path: Path,
    number: int,
    row: Any,
    categories: dict[int, str],
    collectors: dict[int, Collector],
    notes: Notes,
) -> None:
    if not isinstance(row, dict):
        notes.wrong(f"{path}: annotation {number}", "is no object")
        return
    known = _is_id(row.get("id"))
    where = f"{path}: annotation id {row['id']}" if known else f"{path}: annotation {number}"
    label, box = row.get("category_id"), row.get("bbox")
    if not _is_id(label) or label not in categories:
        notes.wrong(where, f"category_id {label!r} is none of the categories")
        return
    image = row.get("image_id")
    if not _is_id(image) or image not in collectors:
        if not notes.problems:  # else its image was wrong already
            notes.wrong(where, f"image_id {image!r} is none of the images")
        return
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        notes.wrong(where, f"bbox {shown(str(box))} is no four numbers")
        return
    left, top, width, height = (float(side) for side in box)
    if math.isfinite(width + height) and (width < 0 or height < 0):
        notes.wrong(where, f"bbox {shown(str(box))} has a negative side")
        return
    corners = (left, top, left + width, top + height)
    crowd = row.get("iscrowd") in (1, True)
    collectors[image].add(where, categories[label], corners, ignored=crowd)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
