"""Annotated images held against their files: do boxes and pixels speak of the same image?"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from tfedge.data.audit import Bad
from tfedge.data.sources import Scan
from tfedge.files.parallel import in_order
from tfedge.inputs.images.annotations.model import Labelled

_ORIENTATION = 0x0112  # of EXIF
_ON_ITS_SIDE = (5, 6, 7, 8)


class Seen(NamedTuple):
    """Pixels of an image as its file stores them, and whether its EXIF block turns it."""

    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        size = self.width, self.height
        return size[::-1] if self.orientation in _ON_ITS_SIDE else size


def seen(path: Path) -> Seen | None:
    """From the header alone; None for what is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            return Seen(width, height, int(image.getexif().get(_ORIENTATION, 1)))
    except (OSError, ValueError, TypeError, SyntaxError, struct.error):
        return None
    except Image.DecompressionBombError:
        return None


def looked_at(scan: Scan, labels: Mapping[str, str], known: Collection[str]) -> dict[str, Bad]:
    """Images whose boxes can't be theirs, by SHA-256, of those that are not ``known`` to be bad."""
    root = scan.listing.root
    paths = [path for path in labels if scan.digests.get(path, "") not in known]

    def of(path: str) -> str:
        found = seen(root / path)
        return "" if found is None else problem(Labelled.of(labels[path]), found)

    told = dict(in_order(of, [path for path in paths if path in scan.digests], 256))
    remedy = "annotate the image as it is seen, or take the rotation out of its EXIF block"
    return {scan.digests[path]: Bad(text, remedy) for path, text in told.items() if text}


def problem(label: Labelled, found: Seen) -> str:
    """Why these boxes are not of this image; "" if they may be."""
    said, upright = (label.width, label.height), found.upright
    if found.orientation != 1 and said != upright and said == (found.width, found.height):
        return (
            "its EXIF block turns the image and not its boxes: they count "
            f"{said[0]}×{said[1]} pixels, it is seen with {upright[0]}×{upright[1]}"
        )
    if said != upright:
        return (
            f"its boxes are of {said[0]}×{said[1]} pixels, the image has {upright[0]}×{upright[1]}"
        )
    if found.orientation in (2, 3, 4) or (found.orientation != 1 and said[0] == said[1]):
        return "its EXIF block turns the image, and its boxes don't say for which way they are"
    return ""
