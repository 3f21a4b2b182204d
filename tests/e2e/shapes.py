"""Images that a tiny net can learn, and the pipeline that learns them in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw

CLASSES = ("disc", "ring", "square")
SIDE = 40
BRIEF = {"recipe": "qat", "epochs": 1, "steps": 0, "representative": 16}  # a section quantize


def draw(label: str, seed: int) -> Image.Image:
    """A shape of a random colour, at a random place, on noise."""
    rng = np.random.default_rng([CLASSES.index(label), seed])
    image = Image.fromarray(rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    left, top = (int(v) for v in rng.integers(2, 12, 2))
    box = (left, top, left + 24, top + 24)
    colour = tuple(int(v) for v in rng.integers(130, 256, 3))
    if label == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.ellipse(box, fill=colour if label == "disc" else None, outline=colour, width=4)
    return image


def folder(root: Path, count: int = 24) -> Path:
    """``count`` images of each class, in a folder a class."""
    for label in CLASSES:
        (root / label).mkdir(parents=True)
        for number in range(count):
            draw(label, number).save(root / label / f"{number:03d}.png")
    return root


def pipeline(path: Path, photos: Path | str, **sections: object) -> Path:
    """A whole pipeline over ``photos``; a section given as None is left out."""
    raw = {
        "name": "tiny",
        "data": {"path": str(photos), "image_size": 32, "split": {"val": 0.25, "test": 0.25}},
        "backbone": {"name": "MobileNetV2", "alpha": 0.35, "weights": "none"},
        "finetune": {},
        "prune": {"sparsity": 0.5, "epochs": 1, "steps": 0},
        "quantize": BRIEF,
        "evaluate": {},
        "benchmark": {"threads": [1], "runs": 10, "warmup": 1, "processes": 1},
        "package": {"targets": ["linux"]},
        **sections,
    }
    content = {name: section for name, section in raw.items() if section is not None}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
