"""Golden pairs: pixels and what the shipped model made of them, to be replayed on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.tflite.runtime import LiteRT, Loader, predict

COUNT = 8
FOLDER = "golden"


@dataclass(frozen=True)
class Pair:
    """``pixels`` uint8 [size, size, 3]; ``scores`` [classes] as the model stores them."""

    label: str  # the true class
    pixels: np.ndarray
    scores: np.ndarray

    def entry(self, number: int) -> dict[str, Any]:
        """The pair's line in the manifest."""
        given, taken = names(number)
        return {"input": given, "output": taken, "class": self.label}


def names(number: int) -> tuple[str, str]:
    return f"{FOLDER}/{number:03d}.input.bin", f"{FOLDER}/{number:03d}.output.bin"


def choose(labels: Sequence[int], count: int = COUNT) -> list[int]:
    """Positions of up to ``count`` pictures: the first of each class, then the second …"""
    seen: dict[int, int] = {}
    turns = []
    for position, label in enumerate(labels):
        turns.append((seen.get(label, 0), label, position))
        seen[label] = seen.get(label, 0) + 1
    return [position for _, _, position in sorted(turns)[:count]]


def make(
    model: bytes, pixels: np.ndarray, labels: Sequence[str], load: Loader = LiteRT
) -> tuple[Pair, ...]:
    """Run the model over ``pixels`` uint8 [n, size, size, 3]; ``labels`` are class names."""
    scores = predict(model, pixels, raw=True, load=load)
    return tuple(Pair(*row) for row in zip(labels, pixels, scores, strict=True))


def write(folder: Path, pairs: Sequence[Pair]) -> None:
    """Raw bytes in C order, no header: a device needs nothing to read them."""
    (folder / FOLDER).mkdir()
    for number, pair in enumerate(pairs):
        for name, array in zip(names(number), (pair.pixels, pair.scores), strict=True):
            (folder / name).write_bytes(np.ascontiguousarray(array).tobytes())
