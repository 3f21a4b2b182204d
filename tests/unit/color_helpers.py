"""A small run around the color models in tests/unit/data: images, stages, folders."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tfedge.core.context import Context
from tfedge.core.slice import context_of
from tfedge.core.stages import stage
from tfedge.data.index import Index, Row
from tfedge.pipeline.schema import Pipeline, pipeline_of
from tfedge.tflite.distinct import distinct
from tfedge.tflite.reader import read

DATA = Path(__file__).parent / "data"
FLOAT, INT8 = DATA / "color_float.tflite", DATA / "color_int8.tflite"
CLASSES = ("red", "green", "blue")
SIZE = 32


def pixels(label: int, seed: int) -> np.ndarray:
    """Noise, uint8 [32, 32, 3], the channel ``label`` brighter: what the models were trained on."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 160, (SIZE, SIZE, 3))
    noise[..., label] += 60
    return noise.astype(np.uint8)


class Said:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.updates: list[tuple[str, int, int]] = []

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        self.updates.append((what, done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class Run:
    """A run directory, the stages before evaluate faked; ``inputs`` as the engine has them."""

    folder: Path
    root: Path
    said: Said
    inputs: dict[str, Path]
    pipeline: Pipeline

    def context(self, name: str) -> Context:
        out = self.folder / name
        out.mkdir(exist_ok=True)
        cache = self.root.parent / "cache"
        row = stage(name)
        rest = out, cache, self.root, self.said, self.folder
        return context_of(row, self.pipeline, self.inputs, *rest)

    def add(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)
        self.inputs[name] = path
        return path

    def json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text("utf-8"))


def make_run(
    tmp: Path,
    *,
    each: int = 4,
    mislabelled: int = 0,
    split: str = "val",
    shipped: Path = INT8,
    recipe: str = "qat",
    pruned: bool = True,
    classes: tuple[str, ...] = CLASSES,
    **sections: object,
) -> Run:
    """``each`` images a class in ``split``; the first ``mislabelled`` reds are really green."""
    root, rows = tmp / "photos", []
    for label, name in enumerate(CLASSES):
        for number in range(each):
            path = root / split / name / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = 1 if name == "red" and number < mislabelled else label
            Image.fromarray(pixels(shown, 100 * label + number)).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(Row(path.relative_to(root).as_posix(), label, split, digest))
    pipeline = pipeline_of(
        {
            "name": "color",
            "data": {"path": "sample:digits", "image_size": SIZE},
            "prune": {} if pruned else None,
            "quantize": {} if recipe != "float" else None,
            "evaluate": {},
            "benchmark": {"threads": [1], "runs": 10, "warmup": 2, "processes": 2},
            "package": {},
        }
        | sections
    )
    run = Run(tmp / "runs" / "color-1", root, Said(), {}, pipeline)
    index = Index(classes, tuple(sorted(rows)), "folders")
    (run.folder / "data").mkdir(parents=True)
    index.save(run.folder / "data" / "index.json")
    run.inputs["data/index.json"] = run.folder / "data" / "index.json"
    audit = {"skipped": [], "leaks": [], "conflicts": [], "duplicates": 0, "warnings": []}
    run.add("data/audit.json", audit | {"imbalance": 1.0})
    weights = {"source": "wheel", "detail": "a wheel", "sha256": "ab" * 32, "licence": "MIT"}
    base = {"name": "MobileNetV2", "alpha": 1.0, "image_size": SIZE, "mean": [0], "std": [1]}
    run.add("backbone/base.json", base | {"weights": weights, "layers": 3})
    epoch = {"epoch": 1, "loss": 0.5, "learning_rate": 1e-3, "val_loss": 0.25, "val_accuracy": 0.9}
    history = {"head_kind": "sgd", "head": [epoch], "best_epoch": 1, "chose_weights_on": "val"}
    sides = {"train": {"top1": 0.95, "loss": 0.2, "n": 90}, "val": {"top1": 0.9, "loss": 0.25}}
    sides["val"]["n"] = 10
    run.add("finetune/history.json", history | sides)
    if pruned:
        layer = {"name": "point", "size": 32, "zeros": 16, "target": 16, "frozen": False}
        run.add(
            "prune/sparsity.json",
            {"target": 0.5, "reached": 0.5, "total": 32, "zeros": 16, "layers": [layer]},
        )
    model, content = read(shipped), shipped.read_bytes()
    run.add("convert/model.tflite", content)
    run.add("convert/float.tflite", FLOAT.read_bytes())
    run.add(
        "convert/model.json",
        {
            "recipe": recipe,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "deflated": len(zlib.compress(content)),
            "float_deflated": len(zlib.compress(FLOAT.read_bytes())),
            "sparsity": 0.5 if pruned else None,
            "float_tensors": len(model.float_tensors()),
            "input": {"dtype": model.inputs[0].dtype, "shape": [*model.inputs[0].shape]},
            "output": {"dtype": model.outputs[0].dtype, "shape": [*model.outputs[0].shape]},
            "layers": [
                {
                    "name": kernel.tensor,
                    "op": kernel.op,
                    "prunable": pruned,
                    "size": kernel.size,
                    "zeros": kernel.zeros,
                    "distinct": distinct(model, kernel).kernel,
                    "distinct_channel": distinct(model, kernel).channel,
                }
                for kernel in model.kernels()
            ],
        },
    )
    return run
