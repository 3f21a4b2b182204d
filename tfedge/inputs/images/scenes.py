"""The sample ``scenes``: handwritten digits of several sizes on noisy backgrounds, boxes known.

Made of integers from numbers alone, as Pascal VOC has it: the same files on every machine. A digit
is in one split only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfedge.data.samples import png
from tfedge.inputs.images.synthetic import enlarged

SIDE = 160  # pixels
COUNTS = {"train": 240, "val": 80, "test": 80}
_PARTS = {"train": (0.0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1.0)}  # of the digits
_CROWD = 0.05  # of a place may be taken
_INK = 64  # of 255, from which a pixel is of the digit


def write(folder: Path) -> None:
    """Images, a VOC annotation for each, and lists of the splits."""
    from sklearn.datasets import load_digits  # slow to import, needed once

    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.images))
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for split, count in COUNTS.items():
        first, last = (int(share * len(order)) for share in _PARTS[split])
        names: list[str] = []
        for number in range(count):
            random = np.random.RandomState([len(names), *map(ord, split)])
            image, boxes = _scene(random, data.images, data.target, order[first:last])
            name = f"{split}_{number:03d}"
            pixels = png(image.tobytes(), SIDE, SIDE, color=True)
            (folder / "JPEGImages" / f"{name}.png").write_bytes(pixels)
            (folder / "Annotations" / f"{name}.xml").write_text(_voc(name, boxes), "utf-8")
            names.append(name)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")


def _scene(
    random: np.random.RandomState, images: np.ndarray, labels: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, int, int, int, int]]]:
    """uint8 [SIDE, SIDE, 3] and its boxes: a digit, and left, top, right, bottom in pixels."""
    found = enlarged(random.randint(0, 160, (5, 5, 3)), SIDE)
    found += random.randint(-9, 10, (SIDE, SIDE, 1))
    taken = np.zeros((SIDE, SIDE), bool)
    boxes = []
    for _ in range(random.randint(1, 9)):
        side = random.randint(SIDE * 12 // 100, SIDE * 40 // 100)
        left, top = random.randint(0, SIDE - side, 2)
        place = np.s_[top : top + side, left : left + side]
        if taken[place].mean() > _CROWD:
            continue
        which = int(random.choice(own))
        drawn = (images[which] * 255 / 16 + 0.5).astype(np.int64)
        ink = enlarged(np.repeat(drawn[..., None], 3, 2), side)
        colour = random.randint(150, 256, 3)
        found[place] = (found[place] * (255 - ink) + colour * ink) // 255
        taken[place] = True
        down, right = np.nonzero(ink[..., 0] > _INK)
        boxes.append(
            (
                int(labels[which]),
                *(int(left + right.min()), int(top + down.min())),
                *(int(left + right.max() + 1), int(top + down.max() + 1)),
            )
        )
    return found.clip(0, 255).astype(np.uint8), boxes


def _voc(name: str, boxes: list[tuple[int, int, int, int, int]]) -> str:
    lines = [
        "<annotation>",
        f"\t<filename>{name}.png</filename>",
        f"\t<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>",
    ]
    for label, left, top, right, bottom in boxes:
        ends = zip(
            ("xmin", "ymin", "xmax", "ymax"), (left + 1, top + 1, right, bottom), strict=True
        )
        inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in ends)
        lines.append(f"\t<object><name>{label}</name><bndbox>{inner}</bndbox></object>")
    return "\n".join([*lines, "</annotation>", ""])
