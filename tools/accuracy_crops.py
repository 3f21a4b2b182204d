"""Crops of blood cells out of BCCD's photos: a set that is very unbalanced, and looks like nothing
in ImageNet.

The annotations are Pascal VOC's: a box and a name for each cell. Most boxes are red cells, a dozen
in each image and all alike, of which a few are taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from PIL import Image

MANY, AT_MOST = "RBC", 3  # of that class so many an image
LEAST = 8  # pixels a side; some boxes are a slip of the mouse
MARGIN = 1.25  # side of the crop over the longer side of the box
SIDE = 97  # pixels; what is smaller is enlarged


class Box(NamedTuple):
    label: str
    left: int
    top: int
    right: int
    bottom: int


def boxes(annotation: str) -> list[Box]:
    """The cells of one image, of the text of its XML; boxes that are too small are left out."""
    found = []
    for item in ElementTree.fromstring(annotation).iter("object"):  # noqa: S314 of a set we have
        edges = [int(item.findtext(f"bndbox/{k}", "0")) for k in ("xmin", "ymin", "xmax", "ymax")]
        box = Box(item.findtext("name", ""), *edges)
        if min(box.right - box.left, box.bottom - box.top) >= LEAST:
            found.append(box)
    return found


def chosen(image: str, found: Iterable[Box]) -> list[Box]:
    """The boxes of an image that are taken: ``AT_MOST`` of ``MANY``, all of the others.

    Which ones follows from the image's name, so that they are the same in every split.
    """
    numbered = list(enumerate(found))
    many = [pair for pair in numbered if pair[1].label == MANY]
    many.sort(key=lambda pair: hashlib.sha256(f"{image} {pair[0]}".encode()).digest())
    taken = {number for number, _ in many[:AT_MOST]}
    return [box for number, box in numbered if box.label != MANY or number in taken]


def square(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The box with its margin as a square inside the image: moved where it would stick out."""
    longer = max(box.right - box.left, box.bottom - box.top)
    side = min(round(longer * MARGIN), width, height)
    left = (box.left + box.right - side) // 2
    top = (box.top + box.bottom - side) // 2
    left, top = max(0, min(left, width - side)), max(0, min(top, height - side))
    return left, top, left + side, top + side


def cut(photo: Image.Image, name: str, annotation: str) -> Iterator[tuple[str, Image.Image]]:
    """The class and the crop of each cell that is taken."""
    for box in chosen(name, boxes(annotation)):
        crop = photo.crop(square(box, *photo.size))
        if crop.width < SIDE:
            crop = crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        yield box.label, crop


def write(bccd: Path, target: Path) -> None:
    """All crops as ``LABEL/IMAGE-NUMBER.png``."""
    for annotation in sorted((bccd / "Annotations").glob("*.xml")):
        image, text = annotation.stem, annotation.read_text(encoding="utf-8")
        with Image.open(bccd / "JPEGImages" / f"{image}.jpg") as opened:
            photo = opened.convert("RGB")
        for number, (label, crop) in enumerate(cut(photo, image, text)):
            (target / label).mkdir(parents=True, exist_ok=True)
            crop.save(target / label / f"{image}-{number}.png")


def image_of(crop: Path) -> str:
    """The image that a crop was cut out of."""
    return crop.stem.rpartition("-")[0]
