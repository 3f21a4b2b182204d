"""Data of other tasks, told by their folders and names: boxes and masks instead of labels.

Nothing is opened here. A folder of class folders that happens to hold annotations, too, is none of
these: only folders whose names say images, annotations or splits are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from tfedge.data.labels import ONE_LABEL
from tfedge.errors import DataError

_IMAGES = "images? imgs? jpegimages pngimages photos? pictures? pics? inputs? rgb frames? obj data"
_MARKS = """
    masks? labels? annotations? annots? anns? annotation seg segs segmentations? segmentationclass
    segmentationobject gt gtfine groundtruths? targets? imagesets? boxes bboxes? xmls? jsons? txts?
    matte alpha
"""
_SPLITS = "train trainval val valid validation test dev"
_STRUCTURE = re.compile(
    rf"({'|'.join(f'{_IMAGES} {_MARKS} {_SPLITS}'.split())})(\d{{0,4}})", re.IGNORECASE
)
_MASKED = re.compile(r"(.+?)[-_. ]?(masks?|seg|segmentation|gt|groundtruth|matte)(_?\d+)?", re.I)
_MARK = re.compile(rf"({'|'.join(_MARKS.split())})(\d{{0,4}})", re.IGNORECASE)
_MANY = 0.5  # share of the images that must have an annotation of their name

HINT = (
    f"{ONE_LABEL}: make a folder for each class, or a CSV of path and label; boxes can be cut out "
    "to images of their own"
)


def check_layout(
    root: str, classes: Collection[str], images: Sequence[str], others: Sequence[str]
) -> None:
    """Raises DataError for data of another task, by its name.

    ``classes`` are the folders that would be classes; ``images`` and ``others`` the paths of all
    files below ``root``, with "/" between folders.
    """
    if beside := _masks_beside(images):
        first = next(iter(beside))
        raise DataError(
            [
                f"{root}: {len(beside)} masks lie beside their images, such as {first} beside "
                f"{beside[first]}: segmentation data"
            ],
            f"{ONE_LABEL}: take the masks out of the class folders",
        )
    if len([name for name in classes if not _is_structure(name)]) >= 2:
        return
    kind = _boxes(images, others) or _masks(images)
    if kind:
        raise DataError([f"{root}: {kind}, not a folder for each class"], HINT)


def _is_structure(name: str) -> bool:
    """Whether a folder's name says what kind of file is in it, not what is seen on them."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    return bool(words) and all(_STRUCTURE.fullmatch(word) for word in words)


def _stems(paths: Iterable[str]) -> Counter[str]:
    return Counter(PurePosixPath(path).stem for path in paths)


def _boxes(images: Sequence[str], others: Sequence[str]) -> str:
    """What an object detection dataset is called; empty for others."""
    stems = set(_stems(images))
    by_suffix: dict[str, list[str]] = {".xml": [], ".txt": [], ".json": []}
    for path in others:
        by_suffix.get(PurePosixPath(path).suffix.lower(), []).append(path)
    paired = {
        suffix: [path for path in paths if PurePosixPath(path).stem in stems]
        for suffix, paths in by_suffix.items()
    }
    names = [path.lower().rpartition("/")[2] for path in others]
    what = "an object detection dataset"
    if _enough(paired[".xml"], stems):
        return f"{what} (Pascal VOC: {paired['.xml'][0]} holds boxes)"
    if _enough(paired[".txt"], stems) or ("data.yaml" in names and by_suffix[".txt"]):
        found = paired[".txt"] or by_suffix[".txt"]
        return f"{what} (YOLO: {found[0]} holds boxes)"
    for path, name in zip(others, names, strict=True):
        if name.endswith(".json") and (_says_coco(name) or _MARK.fullmatch(_parent(path))):
            return f"{what} (COCO: {path})"
    if _enough(paired[".json"], stems):
        return f"an object detection or segmentation dataset (labelme: {paired['.json'][0]})"
    return ""


def _says_coco(name: str) -> bool:
    return bool(re.search(r"coco|instances|annotation|keypoints|captions|labels", name))


def _parent(path: str) -> str:
    return PurePosixPath(path).parent.name


def _enough(found: Sequence[str], stems: Collection[str]) -> bool:
    return bool(found) and len(found) >= _MANY * len(stems)


def _masks(images: Sequence[str]) -> str:
    """What a segmentation dataset is called; empty for others."""
    marks = [path for path in images if any(_MARK.fullmatch(p) for p in _words(path))]
    stems = {_plain(path) for path in marks}
    rest = [path for path in images if path not in set(marks)]
    paired = [path for path in rest if _plain(path) in stems]
    if marks and paired and len(paired) >= _MANY * len(rest):
        mark = next(path for path in marks if _plain(path) == _plain(paired[0]))
        return f"a segmentation dataset ({mark} is the mask of {paired[0]})"
    return ""


def _words(path: str) -> list[str]:
    """The words of a path's folders."""
    folders = PurePosixPath(path).parent.parts
    return [word for folder in folders for word in re.split(r"[^A-Za-z0-9]+", folder) if word]


def _plain(path: str) -> str:
    """The name without its suffix, and without what says that it is a mask."""
    stem = PurePosixPath(path).stem
    found = _MASKED.fullmatch(stem)
    return found[1] if found else stem


def _masks_beside(images: Sequence[str]) -> dict[str, str]:
    """Masks, each with the image of which it has the name and the folder; where there are many."""
    masked = {}  # without what says that it is one
    for path in images:
        name = path.rpartition("/")[2]
        found = _MASKED.fullmatch(name.rpartition(".")[0])
        if found:
            masked[path] = path.removesuffix(name) + found[1]
    if len(masked) * 4 < len(images):
        return {}
    by_stem = {path.rpartition(".")[0]: path for path in images}
    beside = {path: by_stem[plain] for path, plain in masked.items() if plain in by_stem}
    return beside if len(beside) * 4 >= len(images) else {}
