"""Images of a report, small, as a model sees them: cropped or padded by the one decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np

from tfedge.data.audit import Findings
from tfedge.data.index import Index
from tfedge.data.kind import Kind
from tfedge.errors import ArtifactError
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.tasks.blocks import Block, Box, Heading, Picture, Pictures, Text

SMALL, LARGE = 96, 160  # pixels of the longer side; large is what boxes are drawn on
WORST = 24  # images of mistakes
SAMPLES = 40  # … of what the classes look like,
_OF_ONE = 4  # and of one class of them
_FINDINGS = 6  # … of each kind that the audit found
_ALIKE = 3  # … of one group of equal ones
_QUALITY = 80  # of the JPEG


def picture(
    images: DecodedImages,
    name: str,
    caption: str,
    boxes: Sequence[Box] = (),
    side: int = SMALL,
) -> Picture:
    """An image of the data by its path below their root; without pixels, but with the reason, where
    its file is gone, changed or unreadable."""
    try:
        pixels = images.named(name)
    except ArtifactError as error:
        why = str(error).removeprefix(f"{error.path}: ")
        return Picture(name, caption, None, missing=f"not shown: {why}")
    return Picture(name, caption, jpeg(pixels, side), boxes)


def jpeg(pixels: np.ndarray, side: int) -> bytes:
    """uint8 [S, S, 3] RGB as a JPEG whose sides are at most ``side``."""
    from PIL import Image

    image, to = Image.fromarray(pixels), BytesIO()
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    image.save(to, "JPEG", quality=_QUALITY, optimize=True)
    return to.getvalue()


def spread(classes: int) -> tuple[int, int]:
    """How many of the classes a report shows, and how many images of each."""
    return min(classes, SAMPLES), max(1, min(_OF_ONE, SAMPLES // max(1, classes)))


def chosen(index: Index, rows: Iterable[int], count: int) -> list[int]:
    """So many of these rows, always the same of the same files: by the SHA-256 of each."""
    return sorted(rows, key=lambda row: index.rows[row].sha256)[:count]


def samples(images: DecodedImages, kind: Kind) -> list[Block]:
    """Some training examples of each class."""
    index = images.index
    shown, each = spread(len(index.classes))
    by_class: dict[int, list[int]] = {}
    for row in index.rows_of("train"):
        by_class.setdefault(index.rows[row].label, []).append(row)
    found = [
        picture(images, index.rows[row].path, name)
        for label, name in enumerate(index.classes[:shown])
        for row in chosen(index, by_class.get(label, ()), each)
    ]
    left = f"; {shown} of {len(index.classes)} classes" if shown < len(index.classes) else ""
    return sampled(found, images, kind, left)


def sampled(
    found: Sequence[Picture],
    images: DecodedImages,
    kind: Kind,
    left: str = "",
    large: bool = False,
) -> list[Block]:
    """Training examples that were chosen, under a heading."""
    if not found:
        return []
    size = f"{images.size}×{images.size}"
    return [
        Heading("As the model sees them"),
        Text(f"Some training {kind.many}, RGB, {size} pixels by `data.fit: {images.fit}`{left}."),
        Pictures(f"Training {kind.many} as they are fed", found, large=large),
    ]


def findings(
    audit: Findings,
    images: DecodedImages,
    kind: Kind,
    boxes: Callable[[str], Sequence[Box]] = lambda path: (),
) -> list[Block]:
    """What the audit complains of: each kind with the images, as far as there are any. ``boxes``
    are those on an image, by its path."""

    def shown(path: str, caption: str) -> Picture:
        return picture(images, path, caption, boxes(path))

    groups = (
        ("Under two labels", audit.conflicts),
        ("In two splits", audit.leaks),
        ("Look alike in two splits", audit.near),
        ("Copies in one class and split", audit.copies),
    )
    blocks: list[Block] = []
    for title, entries in groups:
        group = [
            shown(one["path"], f"{number}: {', '.join(filter(None, _whose(one, kind)))}")
            for number, entry in enumerate(entries[:_FINDINGS], 1)
            for one in entry["pictures"][:_ALIKE]
        ]
        blocks += _titled(title, group, len(entries))
    remarks: dict[str, list[Picture]] = {}
    for row in audit.remarks:
        found = remarks.setdefault(row["what"], [])
        found += [shown(row["path"], "")] if len(found) < _FINDINGS else []
    for what, found in remarks.items():
        blocks += _titled(f"{what[:1].upper()}{what[1:]}", found, len(found))
    left_out = [
        Picture(row["path"], "", None, missing=f"left out: {row['reason']}")
        for row in audit.skipped[:_FINDINGS]
    ]
    return [*blocks, *_titled("Unreadable", left_out, len(audit.skipped))]


def _whose(one: Mapping[str, str], kind: Kind) -> tuple[str, str]:
    """Label and split; no split, where it went before it had one."""
    return kind.labels.told(one["label"]), one["split"]


def _titled(title: str, found: Sequence[Picture], every: int) -> list[Block]:
    if not found:
        return []
    of = f", the first {_FINDINGS} of {every}" if every > _FINDINGS else ""
    return [Pictures(f"{title}{of}", found, listed=True)]


def worst(
    mistakes: Sequence[Mapping[str, Any]], images: DecodedImages, captions: Sequence[str]
) -> list[Block]:
    """The images of the worst answers, each with what was answered."""
    found = [
        picture(images, row["path"], caption)
        for row, caption in zip(mistakes[:WORST], captions, strict=False)
    ]
    return [Pictures("The worst, as the model saw them", found, listed=True)] if found else []
