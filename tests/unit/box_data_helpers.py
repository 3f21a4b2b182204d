"""Images with boxes, written in each of the formats."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

NAMES = ("cat", "dog", "eel")


class Thing(NamedTuple):
    label: str
    left: int
    top: int
    right: int
    bottom: int


class Picture(NamedTuple):
    name: str
    size: tuple[int, int]
    things: tuple[Thing, ...]


def pictures(count: int = 20) -> list[Picture]:
    """Images of several sizes with up to four boxes each; all classes are there."""
    random = np.random.default_rng(3)
    found = []
    for number in range(count):
        width, height = (int(side) for side in random.integers(60, 120, 2))
        things = []
        for at in range(int(random.integers(1, 5))):
            left, top = int(random.integers(0, width - 20)), int(random.integers(0, height - 20))
            right, bottom = left + int(random.integers(8, 20)), top + int(random.integers(8, 20))
            things.append(Thing(NAMES[(number + at) % 3], left, top, right, bottom))
        found.append(Picture(f"p{number:02d}", (width, height), tuple(things)))
    return found


def write_images(folder: Path, found: Sequence[Picture]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(found):
        pixels = np.random.default_rng(number).integers(0, 256, (*one.size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{one.name}.png")


def voc_text(one: Picture) -> str:
    things = "".join(
        f"<object><name>{thing.label}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{thing.left + 1}</xmin><ymin>{thing.top + 1}</ymin>"
        f"<xmax>{thing.right}</xmax><ymax>{thing.bottom}</ymax></bndbox></object>\n"
        for thing in one.things
    )
    width, height = one.size
    return (
        f"<annotation>\n<filename>{one.name}.png</filename>\n<size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>\n{things}</annotation>\n"
    )


def write_voc(root: Path, found: Sequence[Picture]) -> Path:
    write_images(root / "images", found)
    (root / "Annotations").mkdir()
    for one in found:
        (root / "Annotations" / f"{one.name}.xml").write_text(voc_text(one))
    return root


def coco_of(found: Sequence[Picture]) -> dict:
    """With ids that have holes, and categories that don't begin with 0."""
    boxes = [
        {
            "id": 1000 + 7 * number,
            "image_id": 10 + 3 * place,
            "category_id": 5 * NAMES.index(thing.label) + 2,
            "bbox": [thing.left, thing.top, thing.right - thing.left, thing.bottom - thing.top],
            "iscrowd": 0,
        }
        for number, (place, thing) in enumerate(
            (place, thing) for place, one in enumerate(found) for thing in one.things
        )
    ]
    return {
        "images": [
            {
                "id": 10 + 3 * place,
                "file_name": f"{one.name}.png",
                **dict(zip(("width", "height"), one.size, strict=True)),
            }
            for place, one in enumerate(found)
        ],
        "annotations": boxes,
        "categories": [{"id": 5 * at + 2, "name": name} for at, name in enumerate(NAMES)],
    }


def write_coco(root: Path, found: Sequence[Picture]) -> Path:
    write_images(root / "images", found)
    (root / "annotations").mkdir()
    (root / "annotations" / "instances.json").write_text(json.dumps(coco_of(found)))
    return root


def write_yolo(root: Path, found: Sequence[Picture]) -> Path:
    write_images(root / "images", found)
    (root / "labels").mkdir()
    (root / "data.yaml").write_text(f"names: [{', '.join(NAMES)}]\n")
    for one in found:
        width, height = one.size
        lines = [
            f"{NAMES.index(t.label)} {(t.left + t.right) / 2 / width:.6f} "
            f"{(t.top + t.bottom) / 2 / height:.6f} {(t.right - t.left) / width:.6f} "
            f"{(t.bottom - t.top) / height:.6f}\n"
            for t in one.things
        ]
        (root / "labels" / f"{one.name}.txt").write_text("".join(lines))
    return root


def write_csv(root: Path, found: Sequence[Picture]) -> Path:
    write_images(root / "images", found)
    with (root / "boxes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "xmin", "ymin", "xmax", "ymax"])
        for one in found:
            rows.writerows([f"images/{one.name}.png", *thing] for thing in one.things)
    return root


WRITERS = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo, "csv": write_csv}
