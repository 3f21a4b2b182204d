"""Labelled images for any image classifier, outside of a pipeline: a folder's, or a run's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import ValidationError

from tfedge.benchmark.fit import INDEX, RESOLVED
from tfedge.data.index import SPLITS, Index
from tfedge.data.junk import is_junk
from tfedge.data.listing import SPLIT_NAMES, list_folder
from tfedge.data.sources import data_root
from tfedge.errors import ArtifactError, DataError, InvariantBroken, UnsupportedModel
from tfedge.files.artifact import read_json
from tfedge.files.parallel import cores, in_order
from tfedge.files.progress import Progress
from tfedge.inputs.images.pictures import DecodedImages, Decoding, Refused
from tfedge.inputs.images.schema import ImageData
from tfedge.portable import images
from tfedge.portable.images import BadImage
from tfedge.tasks.classification import metrics
from tfedge.tasks.classification.metrics import ClassifierMetrics
from tfedge.tasks.classification.scores import problem_of
from tfedge.tasks.image_classification.examples import LabelledImages
from tfedge.tasks.streams import Stream, evaluation_split
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import Pool

_DTYPES = ("uint8", "int8")


class Pixels(Protocol):
    """Images as they are fed: uint8 [size, size, 3] RGB each."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True)
class Labelled:
    """Images, and for each the number of its class in ``classes``: int [N]."""

    pixels: Pixels
    labels: np.ndarray
    classes: tuple[str, ...]

    def numbered_by(self, classes: Sequence[str]) -> Labelled:
        """The same with the class numbers of a model that has these classes, in its order.

        DataError names every class that has images and is none of the model's.
        """
        numbers = {name: number for number, name in enumerate(classes)}
        present = [self.classes[label] for label in np.unique(self.labels)]
        unknown = [f"{name} is no class of the model" for name in present if name not in numbers]
        if unknown:
            raise DataError(unknown, f"its classes: {', '.join(classes)}")
        renamed = np.asarray([numbers.get(name, -1) for name in self.classes])
        return Labelled(self.pixels, renamed[self.labels], tuple(classes))


class Decoded:
    """Image files, decoded on all cores shortly before they are needed. None is kept.

    DataError, when they are gone through, for a file that is no good image.
    """

    def __init__(self, files: Sequence[Path], decoding: Decoding) -> None:
        self._files = files
        self._decoding = decoding

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for _, pixels in in_order(self._pixels, self._files, ahead=2 * cores()):
                yield pixels
        except _Unusable as error:
            raise DataError([str(error)], "repair the file, or take it away") from error

    def _pixels(self, path: Path) -> np.ndarray:
        try:
            return self._decoding.pixels(images.read(path), path.name)
        except (BadImage, Refused) as error:
            raise _Unusable(f"{path}: {error}") from error


class _Unusable(Exception):
    """What is wrong with a file, its name before it."""


class _Signed:
    """Pixels for an int8 input of zero point -128: 128 less each."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def __iter__(self) -> Iterator[np.ndarray]:
        return ((pixels ^ 128).view(np.int8) for pixels in self._pixels)


def is_run(folder: Path) -> bool:
    """Whether this is a run directory."""
    return (folder / RESOLVED).is_file()


def image_side(model: Path) -> int:
    """Pixels a side of a model's one RGB input. UnsupportedModel when it takes something else."""
    inputs = read(model).inputs
    shape = inputs[0].shape
    square = len(inputs) == 1 and len(shape) == 4 and shape == (1, shape[1], shape[1], 3)
    if not square or inputs[0].dtype not in _DTYPES:
        takes = [f"{tensor.name}: {tensor.dtype} {list(tensor.shape)}" for tensor in inputs]
        remedy = "give a model with one square RGB input of 8 bits, [1, size, size, 3]"
        raise UnsupportedModel(f"{model}: images can't be fed to it", takes, remedy)
    return shape[1]


def of_folder(folder: Path, split: str | None, decoding: Decoding) -> Labelled:
    """The images of a folder of class folders, or of one of its split folders; classes by name.

    ``split`` None: test when there is such a folder, else val, else train.
    """
    if not folder.is_dir():
        raise DataError([f"{folder}: no such folder"], "give a folder with a folder for each class")
    root = _split_folder(folder, split)
    listing = list_folder(root, None)
    if not listing.entries:
        raise DataError([f"{root}: no images"], "give a folder with a folder for each class")
    labels = np.asarray([listing.classes.index(entry.label) for entry in listing.entries])
    files = [root / entry.path for entry in listing.entries]
    return Labelled(Decoded(files, decoding), labels, listing.classes)


def _split_folder(folder: Path, split: str | None) -> Path:
    """The folder of class folders: of the split, where nothing but splits lies in ``folder``."""
    names = sorted(
        item.name for item in folder.iterdir() if item.is_dir() and not is_junk(item.name)
    )
    splits = {SPLIT_NAMES[name]: name for name in names if name in SPLIT_NAMES}
    if not names or len(splits) < len(names):
        if split is not None:
            raise DataError([f"{folder}: is not split into train, val and test"], "leave split out")
        return folder
    chosen = split or next(name for name in ("test", "val", "train") if name in splits)
    if chosen not in splits:
        raise DataError([f"{folder}: no {chosen} folder"], f"it has {', '.join(names)}")
    return folder / splits[chosen]


def of_run(run_dir: Path, split: str | None, size: int, fit: str | None, cache: Path) -> Labelled:
    """A run's images of a split (None: the one that it evaluated on), as its pipeline fits them.

    ArtifactError when the run directory does not tell which they are, or one is gone or changed.
    """
    try:
        data = ImageData.model_validate_json(json.dumps(read_json(run_dir / RESOLVED)["data"]))
    except (KeyError, TypeError, ValidationError) as error:
        raise ArtifactError(run_dir / RESOLVED, f"tells no data: {error}") from error
    index = Index.load(run_dir / INDEX)
    rows = index.rows_of(split or evaluation_split(index))
    if not rows:
        raise DataError([f"{run_dir}: it has no {split} images"], f"one of: {', '.join(SPLITS)}")
    root = data_root(data, cache)
    found = DecodedImages(index, root, cache, size, fit or data.fit, data.range)
    return Labelled(
        Stream(LabelledImages(found), rows), np.asarray(index.labels_of(rows)), index.classes
    )


def accuracy(model: Path, images: Labelled, top_k: int, progress: Progress) -> ClassifierMetrics:
    """What ``metrics.measure`` says of a model's scores, which LiteRT computes on all cores.

    DataError when the model has another number of classes than the images.
    """
    found = read(model)
    shape, count = found.outputs[0].shape, len(images.classes)
    if shape != (1, count):
        what = f"{model}: it gives scores of shape {list(shape)}, for images of {count} classes"
        raise DataError([what], "name all classes of the model, in its order: labels")
    signed = found.inputs[0].dtype == "int8"
    pool = Pool(model, max(1, min(cores(), len(images.pixels))))
    (answers, *_) = pool.run(
        _Signed(images.pixels) if signed else images.pixels,
        outputs=(0,),
        progress=partial(progress.update, f"evaluate {model.name}", unit="images"),
    )
    if problem := problem_of(answers, count):
        raise InvariantBroken(f"outputs of {model.name}", *problem)
    return metrics.measure(answers, images.labels, images.classes, min(top_k, count))
