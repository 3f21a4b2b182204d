"""The sets of images that accuracy is measured on, and how each is split."""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import accuracy_crops
from PIL import Image

SIZES = {"MobileNetV2": 225, "EfficientNetLite0": 224}  # pixels a side of whole photos
SMALL = {"MobileNetV2": 97, "EfficientNetLite0": 96}  # of what has no more to show
PAIR = ("roses", "tulips")  # the two flowers that are hardest to tell apart
DIGITS, DIGIT = 1000, 64  # of scikit-learn's 1,797, and pixels a side


class SourceImage(NamedTuple):
    """``group``: images that share it stay together, in one split."""

    label: str
    file: Path
    group: str


@dataclass(frozen=True)
class ImageSet:
    """``images``: what it holds, of (the folder of photos, a folder for what must be made).

    ``train``: training images of each class; without it a third is held out and a tenth is val.
    ``by_class``: each class is split by itself; else all groups together, whatever is in them.
    """

    images: Callable[[Path, Path], list[SourceImage]]
    sizes: dict[str, int]
    train: int | None = None
    by_class: bool = True


def _flowers(*labels: str) -> Callable[[Path, Path], list[SourceImage]]:
    """Photos of these classes, or of all."""

    def found(photos: Path, made: Path) -> list[SourceImage]:
        files = sorted((photos / "flowers").glob("*/*/*"))
        return [
            SourceImage(file.parent.name, file, file.name)
            for file in files
            if file.parent.name in labels or not labels
        ]

    return found


def _cells(photos: Path, made: Path) -> list[SourceImage]:
    def write(folder: Path) -> None:
        accuracy_crops.write(photos / "bccd", folder)

    files = sorted(once(made / "cells", write).glob("*/*.png"))
    return [SourceImage(file.parent.name, file, accuracy_crops.image_of(file)) for file in files]


def _digits(photos: Path, made: Path) -> list[SourceImage]:
    files = sorted(once(made / "digits", write_digits).glob("*/*.png"))
    return [SourceImage(file.parent.name, file, file.name) for file in files]


def write_digits(folder: Path) -> None:
    """Some of scikit-learn's handwritten digits, 8×8 in grey, enlarged, as ``LABEL/NUMBER.png``."""
    from sklearn.datasets import load_digits  # slow to import

    data = load_digits()
    order = sorted(range(len(data.target)), key=lambda n: hashlib.sha256(b"%d" % n).digest())
    for number in sorted(order[:DIGITS]):
        target = folder / str(data.target[number])
        target.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((data.images[number] * 255 / 16 + 0.5).astype("uint8"))
        large = grey.resize((DIGIT, DIGIT), Image.Resampling.BICUBIC)
        large.save(target / f"{number:04d}.png")


SETS = {
    "flowers5": ImageSet(_flowers(), SIZES),
    "flowers2x60": ImageSet(_flowers(*PAIR), SIZES, train=60),
    "flowers5x20": ImageSet(_flowers(), SIZES, train=20),
    "cells": ImageSet(_cells, SMALL, by_class=False),
    "digits": ImageSet(_digits, SMALL),
}


def split(
    images: Sequence[SourceImage], seed: int, train: int | None = None, by_class: bool = True
) -> list[tuple[str, SourceImage]]:
    """The split of each image; it follows from the seed and the names of the groups alone.

    Of the groups in the order of their hash a third is ``test``, a tenth ``val``, the rest
    ``train``; or ``train`` of each class are that, a tenth of as many more ``val``, the rest
    ``test``.
    """
    strata: dict[str, dict[str, list[SourceImage]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        strata[image.label if by_class else ""][image.group].append(image)
    found = []
    for _, groups in sorted(strata.items()):
        names = sorted(groups, key=lambda n: hashlib.sha256(f"{seed} {n}".encode()).digest())
        for name, where in zip(names, _shares(len(names), train), strict=True):
            found += [(where, image) for image in groups[name]]
    return found


def _shares(count: int, train: int | None) -> list[str]:
    """The split of each of ``count`` groups in order."""
    if train is None:
        test, val = count // 3, count // 10
        return ["test"] * test + ["val"] * val + ["train"] * (count - test - val)
    val = max(1, train // 10)
    if count <= train + val:
        raise ValueError(f"{count} images leave none to test on behind {train} and {val}")
    return ["train"] * train + ["val"] * val + ["test"] * (count - train - val)


def once(folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder, written if it is not there: all of it or nothing."""
    if not folder.is_dir():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        unfinished.rename(folder)
    return folder


def copies(assigned: Iterable[tuple[str, SourceImage]], target: Path) -> None:
    """Copies as ``SPLIT/LABEL/FILE``, as tfedge reads them."""
    for where, image in assigned:
        folder = target / where / image.label
        folder.mkdir(parents=True, exist_ok=True)
        copied = folder / image.file.name
        if copied.exists():
            raise ValueError(f"two images called {image.label}/{image.file.name}")
        shutil.copyfile(image.file, copied)


def folder_of(name: str, seed: int, photos: Path, made: Path) -> Path:
    """A set in one split, in folders; written below ``made`` if it is not there."""
    plan = SETS[name]

    def write(folder: Path) -> None:
        listed = plan.images(photos, made)
        if not listed:
            raise SystemExit(f"no images of {name} in {photos}")
        copies(split(listed, seed, plan.train, plan.by_class), folder)

    return once(made / f"{name}-{seed}", write)
