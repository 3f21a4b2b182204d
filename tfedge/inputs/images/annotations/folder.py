"""Which images there are, with which boxes and in which split: a listing as other data have it.

The label of an entry is all that its annotation says, in one line (``model.as_label``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tfedge.data.labels import in_order, pinned
from tfedge.data.listing import Entry, Listing, open_shares
from tfedge.errors import DataError
from tfedge.files.files import few, shown
from tfedge.inputs.images.annotations import coco, tables, voc, yolo
from tfedge.inputs.images.annotations.images import Images, walked
from tfedge.inputs.images.annotations.model import Annotation, Notes, as_label

Reader = Callable[[Path, list[str], Images, Notes], list[Annotation]]

_APIECE = {"voc": voc.SUFFIX, "yolo": yolo.SUFFIX}  # formats with a file for each image
_ALTOGETHER = {"coco": coco.files, "csv": tables.files}
_SHORT = 32 * 2**20  # bytes that a short look reads

READERS: dict[str, Reader] = {"voc": voc.read, "coco": coco.read, "csv": tables.read}


def listed(data: Any, root: Path, until: float | None) -> Listing:
    """The images with boxes below a folder; ``data`` is the section of the pipeline.

    After ``until``, in the seconds of ``time.monotonic``, nothing more is looked at: the listing is
    ``partial``. DataError with all that is wrong with the annotations, each with its file and line
    or id."""
    images, others, partial = walked(root, until)
    if partial:
        return Listing(root, (), (), "content hash", None, data.kind, partial=True)
    return _listing(data, root, images, others)


def sampled(data: Any, root: Path, images: Images, others: list[str], most: int) -> Listing | None:
    """The same of ``most`` images at most, evenly drawn, where each has an annotation of its own;
    None where one file has all of them, and is too large for a short look."""
    named_format = format_of(data, root, others)
    if named_format in _APIECE and len(images.stamps) > most:
        paths = list(images.stamps)
        drawn = [paths[int(place * len(paths) / most)] for place in range(most)]
        stems = {PurePosixPath(path).stem for path in drawn}
        images = Images({path: images.stamps[path] for path in drawn})
        others = [name for name in others if _is_of(name, stems)]
    elif named_format not in _APIECE:
        found = _ALTOGETHER[named_format](root, others)
        if sum((root / name).stat().st_size for name in found) > _SHORT:
            return None
    return _listing(data, root, images, others)


def _is_of(name: str, stems: Collection[str]) -> bool:
    """Whether a file is an annotation of these images, or of no single one."""
    pure = PurePosixPath(name)
    return pure.suffix.lower() not in (voc.SUFFIX, yolo.SUFFIX) or (
        pure.stem in stems or bool(yolo.names_files([name]))
    )


def annotated(images: Images, others: Sequence[str]) -> bool:
    """Whether files beside the images are annotations, by their names and what tables begin with:
    of every second image at least, where each has one of its own."""
    stems = {PurePosixPath(path).stem for path in images.stamps}
    for name, is_there in _SIGNS.items():
        if not is_there(others):
            continue
        suffix = _APIECE.get(name)
        if suffix is None:
            return True
        own = {PurePosixPath(one).stem for one in others if one.lower().endswith(suffix)}
        if 2 * len(own & stems) >= len(stems):
            return True
    return False


def _listing(data: Any, root: Path, images: Images, others: list[str]) -> Listing:
    notes = Notes()
    named_format = format_of(data, root, others)
    if named_format == "yolo":
        read = yolo.read(root, others, images, notes, data.unlabelled)
    else:
        read = READERS[named_format](root, others, images, notes)
    found = sorted(read, key=lambda one: one.path)
    _twice(found, notes)
    if notes.problems:
        raise DataError(notes.told(), "correct these annotations, or take them out")
    named = {one.split for one in found if one.split}
    decided, shares = open_shares(named, data.split, str(root))
    entries = [
        Entry(
            one.path,
            as_label(one),
            None if decided == "hash" or (one.split == "train" and shares) else one.split,
            images.stamps[one.path],
        )
        for one in found
    ]
    classes = {box.label for one in found for box in one.boxes if not box.ignored}
    wanted = data.classes
    where = str(root)
    return Listing(
        root,
        tuple(entries),
        in_order(classes) if wanted is None else pinned(classes, tuple(map(str, wanted)), where),
        "content hash" if decided == "hash" else "lists",
        shares,
        data.kind,
        (*_warnings(found, images, notes), *notes.warnings),
    )


def format_of(data: Any, root: Path, others: Sequence[str]) -> str:
    """The format of the annotations: as named, or as recognised by what lies there."""
    if data.annotations != "auto":
        return str(data.annotations)
    found = [name for name, is_there in _SIGNS.items() if is_there(others)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            [f"{root}: annotations of several formats: {', '.join(found)}"],
            "say which one: data.annotations",
        )
    raise DataError(
        [f"{root}: no annotations beside the images"],
        "Pascal VOC has an .xml for each image, COCO a .json, YOLO a .txt for each, or one .csv",
    )


_SIGNS: dict[str, Callable[[Sequence[str]], bool]] = {
    "voc": lambda others: any(name.lower().endswith(voc.SUFFIX) for name in others),
    "coco": lambda others: bool(coco.files(Path(), others)),
    "yolo": lambda others: bool(yolo.names_files(others)) and yolo.has_texts(others),
    "csv": lambda others: bool(tables.files(Path(), others)),
}


def _twice(found: Sequence[Annotation], notes: Notes) -> None:
    first: dict[str, str] = {}
    for one in found:
        if one.path in first:
            notes.wrong(one.where, f"{shown(one.path)} is annotated by {first[one.path]} already")
        first.setdefault(one.path, one.where)


def _warnings(found: Sequence[Annotation], images: Images, notes: Notes) -> list[str]:
    lines = []
    if notes.empty:
        lines.append(f"boxes without an area, left out: {len(notes.empty)} ({few(notes.empty)})")
    if notes.cut:
        lines.append(f"boxes that reach beyond their image, cut: {_counted(notes.cut)}")
    known = {one.path for one in found}
    if without := [path for path in images.stamps if path not in known]:
        lines.append(f"images without an annotation, left out: {_counted(without)}")
    ignored = Counter(box.label for one in found for box in one.boxes if box.ignored)
    if ignored:
        total = sum(ignored.values())
        lines.append(f"boxes that are difficult or of a crowd, which don't count: {total}")
    return lines


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} ({few(names)})"
