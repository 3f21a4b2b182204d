"""Small images and folders for the tests of the data room."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tfedge.core.slice import context_of
from tfedge.core.stages import stage as row
from tfedge.data.audit import Findings
from tfedge.data.index import Index
from tfedge.data.sources import data_root
from tfedge.inputs.images.schema import ImageData as Data
from tfedge.pipeline.schema import pipeline_of
from tfedge.stages import data as stage


def noise(seed: int, height: int = 20, width: int = 24) -> Image.Image:
    """An image like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image(path: Path, seed: int) -> Path:
    """Writes a PNG that only this seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(noise(seed), "PNG"))
    return path


def class_folders(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """``counts`` images a class, all different (seeds from ``first`` on)."""
    for label, count in counts.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image(root / label / f"{number:03d}.png", first)
            first += 1
    return root


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Said:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.updates: list[tuple[str, int, int, str]] = []

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        self.updates.append((what, done, total, unit))

    def note(self, text: str) -> None:
        self.notes.append(text)


class Stage:
    """Runs the data stage on ``data`` and keeps what it wrote and said."""

    def __init__(self, tmp: Path, **data: object) -> None:
        out, cache = tmp / "out", tmp / "cache"
        out.mkdir(exist_ok=True)
        settings = Data(**{"image_size": 32, **data})  # type: ignore[arg-type]
        pipeline = pipeline_of(name="test", data=settings)
        self.said = Said()
        root = data_root(settings, cache)
        stage.run(context_of(row("data"), pipeline, {}, out, cache, root, self.said))
        self.index = Index.load(out / "index.json")
        self.index_bytes = (out / "index.json").read_bytes()
        self.audit = Findings(**json.loads((out / "audit.json").read_text()))

    def splits(self) -> dict[str, str]:
        return {row.path: row.split for row in self.index.rows}
