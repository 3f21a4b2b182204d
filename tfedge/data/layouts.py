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

_IMAGES = """
    images? imgs? jpegimages pngimages photos? pictures? pics? inputs? originals? ground rgb frames?
    obj data
"""
_MARKS = """
    masks? labels? annotations? annots? anns? annotation seg segs segmentations? segmentationclass
    segmentationobject semantics? gt gtfine truths? targets? imagesets? boxes bboxes? xmls? jsons?
    txts? matte alpha
"""
_SPLITS = "train training trainval val valid validation test testing dev"


def _one_of(words: str) -> str:
    return rf"(?:{'|'.join(words.split())})\d{{0,4}}"


_WORD = _one_of(f"{_IMAGES} {_MARKS} {_SPLITS}")  # such as labelTxt and trainannot, together
_STRUCTURE = re.compile(rf"(?:{_WORD}){{1,3}}", re.IGNORECASE)
_MARK = re.compile(rf"(?:{_WORD}){{0,2}}{_one_of(_MARKS)}(?:{_WORD}){{0,2}}", re.IGNORECASE)
# What is added to the name of an image, and to that of its mask.
_MASKED = re.compile(
    r"(.+?)[-_. ]?(masks?|seg|segmentation|gt|gtfine_\w+|groundtruth|labels?|matte)(_?\d+)?", re.I
)
_IMAGED = re.compile(r"(.+?)[-_. ](images?|imgs?|rgb|input|original|leftimg8bit)", re.I)
_IMAGE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?)$", re.IGNORECASE)
_MANY = 0.5  # share of the images that must have an annotation of their name


class OtherTask(DataError):
    """The data are of another task than one that takes a label for each example."""


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
        raise OtherTask(
            [
                f"{root}: {len(beside)} masks lie beside their images, such as {first} beside "
                f"{beside[first]}: segmentation data"
            ],
            f"{ONE_LABEL}: take the masks out of the class folders",
        )
    others_than_structure = _not_structure(classes)
    if len(others_than_structure) >= 2:
        return
    kind = _boxes(images, others) or _masks(images, others_than_structure)
    if kind:
        raise OtherTask([f"{root}: {kind}, not a folder for each class"], HINT)


def _not_structure(names: Collection[str]) -> list[str]:
    """The folders whose names say what is seen on their images, not what kind of file is in them.
    Words that all have, such as the name of a dataset, say nothing."""
    words = {name: _split(name) for name in names}
    shared = set.intersection(*map(set, words.values())) if len(words) > 1 else set()
    return [
        name
        for name, parts in words.items()
        if not any(_STRUCTURE.fullmatch(word) for word in parts)
        or not all(word in shared or word.isdigit() or _STRUCTURE.fullmatch(word) for word in parts)
    ]


def _split(name: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]


def _stems(paths: Iterable[str]) -> Counter[str]:
    """Names without their suffix, of which annotations may have two: ``1.jpg.json``."""
    return Counter(_stem(path) for path in paths)


def _stem(path: str) -> str:
    stem = PurePosixPath(path).stem
    return PurePosixPath(stem).stem if _IMAGE.search(stem) else stem


def _boxes(images: Sequence[str], others: Sequence[str]) -> str:
    """What an object detection dataset is called; empty for others."""
    stems = set(_stems(images))
    by_suffix: dict[str, list[str]] = {".xml": [], ".txt": [], ".json": []}
    for path in others:
        by_suffix.get(PurePosixPath(path).suffix.lower(), []).append(path)
    paired = {
        suffix: [path for path in paths if _stem(path) in stems]
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


def _masks(images: Sequence[str], classes: Sequence[str]) -> str:
    """What a segmentation dataset is called; empty for others. ``classes`` are the folders whose
    names may be those of classes: numbers that agree are not enough then."""
    marks = {path for path in images if any(_MARK.fullmatch(word) for word in _words(path))}
    by_name = {_plain(path): path for path in sorted(marks, reverse=True)}
    rest = [path for path in images if path not in marks]
    paired = [path for path in rest if _plain(path) in by_name]
    if not paired or len(paired) < _MANY * len(rest):
        return ""
    image, mark = paired[0], by_name[_plain(paired[0])]
    if classes and not _is_told(mark, image, classes):
        return ""
    return f"a segmentation dataset ({mark} is the mask of {image})"


def _is_told(mark: str, image: str, classes: Iterable[str]) -> bool:
    """Whether the name of a mask says more than that of its image, which a class has that is not
    called its contrary (``mask`` and ``unmasked``)."""
    words = [word.lower() for word in _words(mark) if _MARK.fullmatch(word)]
    if any(word in name.lower() for word in words for name in classes):
        return False
    return PurePosixPath(mark).name != PurePosixPath(image).name


def _words(path: str) -> list[str]:
    """The words of a path's folders."""
    return [word for folder in PurePosixPath(path).parent.parts for word in _split(folder)]


def _plain(path: str) -> str:
    """The name without its suffix, and without what says that it is a mask or its image."""
    stem = PurePosixPath(path).stem
    found = _MASKED.fullmatch(stem) or _IMAGED.fullmatch(stem)
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
