"""Images that a shipped model is asked about, as it was trained on them: of any task that has
images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfedge.benchmark.script.image_inputs import FITS, checked_levels
from tfedge.data.kind import IMAGES
from tfedge.inputs.images.pictures import Decoding, Refused
from tfedge.portable.images import BYTE_LIMIT
from tfedge.tasks.drop import Unreadable


class PhotoReader:
    """By a contract's ``input``. LookupError, TypeError and ValueError for one that says something
    else."""

    kind = IMAGES
    largest = BYTE_LIMIT
    typed = None

    def __init__(self, given: Mapping[str, Any]) -> None:
        if given["fit"] not in FITS:
            raise ValueError(f"fit {given['fit']!r}")
        levels = given.get("levels")
        self._decoding = Decoding(
            int(given["shape"][1]), given["fit"], None if levels is None else checked_levels(levels)
        )

    def content(self, content: bytes, name: str) -> np.ndarray:
        """uint8 [size, size, 3] RGB."""
        try:
            return self._decoding.pixels(content, name)
        except Refused as error:
            raise Unreadable(error.bad.reason) from error
