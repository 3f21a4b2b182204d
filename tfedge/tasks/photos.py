"""Images of any task that has images: as the audit looks at them, as golden pairs, and as a shipped
model is asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.benchmark.script.image_inputs import FITS, checked_levels
from tfedge.data.audit import Contents
from tfedge.data.kind import IMAGES
from tfedge.data.sources import Scan
from tfedge.errors import DataError
from tfedge.files.progress import Progress
from tfedge.inputs.images.looks import alike
from tfedge.inputs.images.pictures import Decoding, Refused, looks_of
from tfedge.inputs.images.schema import ImageData
from tfedge.portable.images import BYTE_LIMIT, BadImage, decode
from tfedge.tasks.drop import Unreadable

_FLAT = "images of next to one colour only"
_PUBLIC = 256  # files of a folder that are looked at


class PhotoReader:
    """By a contract's ``input``. LookupError, TypeError and ValueError for one that says something
    else."""

    kind = IMAGES
    largest = BYTE_LIMIT
    typed = None

    def __init__(self, given: Mapping[str, Any]) -> None:
        if given["fit"] not in FITS:
            raise ValueError(f"fit {given['fit']!r}")
        levels, self._signed = given.get("levels"), given["dtype"] == "int8"
        self.levels = None if levels is None else checked_levels(levels)
        self._decoding = Decoding(int(given["shape"][1]), given["fit"], self.levels)

    def content(self, content: bytes, name: str) -> np.ndarray:
        """uint8 [size, size, 3] RGB; of a model that takes int8 128 less each."""
        try:
            pixels = self._decoding.pixels(content, name)
        except Refused as error:
            raise Unreadable(error.bad.reason) from error
        return (pixels ^ 128).view(np.int8) if self._signed else pixels


def contents(found: Scan, settings: ImageData, cache: Path, progress: Progress) -> Contents:
    """What the audit asks of scanned images, each of which is decoded into the pixel store."""
    decoding = Decoding(settings.image_size, settings.fit, settings.range)
    store = decoding.store(cache)
    looks, bad = looks_of(store, found.files, decoding, progress)
    return Contents(
        same={digest: look.same for digest, look in looks.items()},
        bad=bad,
        near={digest: look.near for digest, look in looks.items() if not look.flat},
        alike=alike(lambda digest: store.memmap[store.rows([digest])[0]]),
        remarks={digest: _FLAT for digest, look in looks.items() if look.flat},
    )


def public(files: Sequence[Path], size: int, fit: str) -> list[np.ndarray]:
    """The images, uint8 [S, S, 3], among files that the owner calls public, at most ``_PUBLIC`` of
    them. DataError for files that are no images, or without any."""
    named = [file for file in files if IMAGES.names(file.name)]
    if not named:
        raise DataError(["package.golden: no images in the folder"], "put images into it")
    images, bad = [], []
    for file in named[:: -(-len(named) // _PUBLIC)]:
        try:
            images.append(decode(file, size, fit))
        except BadImage as error:
            bad.append(str(error))
    if bad:
        raise DataError(bad, "repair the files, or take them away")
    return images
