"""YOLO: a .txt for each image; a line is a class's number, then centre, width and height as shares
of the image. The names stand in data.yaml, classes.txt or obj.names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tfedge.errors import ArtifactError
from tfedge.files.files import shown
from tfedge.files.whole import whole
from tfedge.inputs.images.annotations.audit import seen
from tfedge.inputs.images.annotations.images import Images
from tfedge.inputs.images.annotations.model import Annotation, Collector, Notes

SUFFIX = ".txt"
_MOST_BYTES = 16 * 2**20
_MOST_NAMES = 2**20  # bytes
_LISTS = ("classes.txt", "obj.names")
_CONFIG = (".yaml", ".yml")
_CELLS = 5
_IMAGES, _LABELS = "images", "labels"


def names_files(names: Sequence[str]) -> list[str]:
    """Those of the files below a root that may say what classes are called."""
    found = []
    for name in names:
        pure = PurePosixPath(name.lower())
        if pure.name in _LISTS or (pure.suffix in _CONFIG and len(pure.parts) == 1):
            found.append(name)
    return found


def has_texts(names: Sequence[str]) -> bool:
    """Whether there are files of boxes among them."""
    texts = (PurePosixPath(name.lower()) for name in names)
    return any(one.suffix == SUFFIX and one.name not in _LISTS for one in texts)


def read(
    root: Path, names: list[str], images: Images, notes: Notes, unlabelled: str
) -> list[Annotation]:
    """The annotations of all images below the root. ``unlabelled``: what an image without a .txt
    means, ``error`` or ``empty``."""
    classes = _classes(root, names, notes)
    if classes is None:
        return []
    texts = {name for name in names if name.lower().endswith(SUFFIX)}
    for name in _orphans(texts, images):
        notes.wrong(str(root / name), "its image is not there")
    found = []
    for image in images.stamps:
        size = seen(root / image)
        if size is None:
            notes.wrong(str(root / image), "can't be read as an image")
            continue
        if size.orientation != 1:
            what = "its EXIF block turns the image, and its boxes don't say for which way they are"
            notes.wrong(str(root / image), what)
            continue
        collector = Collector(notes, size.width, size.height)
        text = _text_of(image, texts)
        where = root / (text or _texts_of(image)[0])
        if text is not None:
            _read(root / text, classes, collector, (size.width, size.height), notes)
        elif unlabelled == "error":
            what = "is not there, and its image is: data.unlabelled: empty takes it for one without"
            notes.wrong(str(where), f"{what} boxes")
            continue
        found.append(
            Annotation(
                image,
                collector.found(),
                str(where),
                size.width,
                size.height,
                images.split_of(image),
            )
        )
    return found


def without(images: Images, names: Sequence[str]) -> list[str]:
    """The images that have no .txt."""
    texts = {name for name in names if name.lower().endswith(SUFFIX)}
    return [image for image in images.stamps if _text_of(image, texts) is None]


def _texts_of(image: str) -> list[str]:
    """Where the .txt of an image may lie: below ``labels`` as it lies below ``images``, or beside
    it."""
    pure = PurePosixPath(image)
    parts = list(pure.with_suffix(SUFFIX).parts)
    if _IMAGES in parts[:-1]:
        place = len(parts) - 2 - parts[:-1][::-1].index(_IMAGES)
        below = [*parts[:place], _LABELS, *parts[place + 1 :]]
        return ["/".join(below), "/".join(parts)]
    return ["/".join(parts)]


def _orphans(texts: set[str], images: Images) -> list[str]:
    """Files of boxes below ``labels`` that no image has."""
    known = {text for image in images.stamps for text in _texts_of(image)}
    paths = [PurePosixPath(name) for name in sorted(texts - known)]
    return [str(p) for p in paths if _LABELS in p.parts[:-1] and p.name.lower() not in _LISTS]


def _text_of(image: str, texts: set[str]) -> str | None:
    return next((name for name in _texts_of(image) if name in texts), None)


def _classes(root: Path, names: Sequence[str], notes: Notes) -> list[str] | None:
    found = names_files(names)
    if len(found) != 1:
        told = f"several say it: {', '.join(found)}" if found else "none is there"
        what = f"the names of the classes stand in data.yaml, classes.txt or obj.names; {told}"
        notes.wrong(str(root), what)
        return None
    path = root / found[0]
    try:
        text = whole(path, _MOST_NAMES).decode("utf-8")
        if path.suffix.lower() not in _CONFIG:
            return [line.strip() for line in text.splitlines() if line.strip()]
        raw = yaml.safe_load(text)
    except ArtifactError as error:
        notes.problems.append(error.message)
        return None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        notes.wrong(str(path), f"no YAML of class names: {' '.join(str(error).split())[:200]}")
        return None
    named = raw.get("names") if isinstance(raw, dict) else None
    return _named(path, named, notes)


def _named(path: Path, named: Any, notes: Notes) -> list[str] | None:
    if isinstance(named, dict):
        if sorted(map(str, named)) != sorted(map(str, range(len(named)))):
            notes.wrong(str(path), "names: the numbers of its classes are not 0, 1, 2 …")
            return None
        by_number = {int(number): name for number, name in named.items()}
        named = [by_number[number] for number in range(len(by_number))]
    if not isinstance(named, list) or not named:
        notes.wrong(str(path), "has no names: a list of the classes, in their order")
        return None
    return [str(name) for name in named]


def _read(
    path: Path, classes: list[str], collector: Collector, size: tuple[int, int], notes: Notes
) -> None:
    try:
        text = whole(path, _MOST_BYTES).decode("utf-8")
    except ArtifactError as error:
        notes.problems.append(error.message)
        return
    except UnicodeDecodeError as error:
        notes.wrong(str(path), f"not UTF-8 (byte {error.start})")
        return
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if cells:
            _box(f"{path}:{number}", cells, classes, collector, size, notes)


def _box(
    where: str,
    cells: list[str],
    classes: list[str],
    collector: Collector,
    size: tuple[int, int],
    notes: Notes,
) -> None:
    if len(cells) != _CELLS:
        outline = len(cells) > _CELLS and len(cells) % 2 == 1
        told = "an outline, as for segmentation" if outline else f"{len(cells)} numbers"
        notes.wrong(
            where, f"expected {_CELLS} numbers (class, centre x y, width height), got {told}"
        )
        return
    try:
        label, (x, y, wide, high) = int(cells[0]), (float(cell) for cell in cells[1:])
    except ValueError:
        notes.wrong(where, f"{shown(' '.join(cells))!r} is no class and four numbers")
        return
    if not 0 <= label < len(classes):
        notes.wrong(where, f"class {label} is none of the {len(classes)} that are named")
        return
    if wide < 0 or high < 0:
        notes.wrong(where, f"width {wide:g} and height {high:g}: a side is negative")
        return
    if max(abs(x), abs(y), wide, high) > 2:
        notes.wrong(where, "the box is in pixels: YOLO's are shares of the image, from 0 to 1")
        return
    width, height = size
    corners = (
        *((x - wide / 2) * width, (y - high / 2) * height),
        *((x + wide / 2) * width, (y + high / 2) * height),
    )
    collector.add(where, classes[label], corners)
