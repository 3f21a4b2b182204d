"""Golden pairs: inputs and what the shipped model made of them, to be replayed on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.tasks.drop import Pair
from tfedge.tflite.runtime import LiteRT, Loader, predict

COUNT = 8
FOLDER = "golden"


def names(number: int) -> tuple[str, str]:
    """The files of a pair's input and output, relative to the drop."""
    return f"{FOLDER}/{number:03d}.input.bin", f"{FOLDER}/{number:03d}.output.bin"


def entry(number: int, pair: Pair) -> dict[str, Any]:
    """The pair's line in the manifest."""
    given, taken = names(number)
    return {"input": given, "output": taken, **pair.facts}


def make(
    model: bytes, inputs: np.ndarray, facts: Sequence[Mapping[str, Any]], load: Loader = LiteRT
) -> tuple[Pair, ...]:
    """Run the model over ``inputs`` [n, …], each as it takes it; ``facts`` are what the manifest
    says of each."""
    outputs = predict(model, inputs, raw=True, load=load)
    return tuple(Pair(*row) for row in zip(inputs, outputs, facts, strict=True))


def write(folder: Path, pairs: Sequence[Pair]) -> None:
    """Raw bytes in C order, no header: a device needs nothing to read them."""
    (folder / FOLDER).mkdir()
    for number, pair in enumerate(pairs):
        for name, array in zip(names(number), (pair.input, pair.output), strict=True):
            (folder / name).write_bytes(np.ascontiguousarray(array).tobytes())
