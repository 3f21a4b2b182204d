"""A small run: images that a random net can tell apart, and stages without the engine.

As a script, ``python tiny.py RUN OUT STAGE…`` runs stages on the files of RUN in a process of their
own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfedge.core.context import Context
from tfedge.core.slice import context_of
from tfedge.core.stages import function_of, stage
from tfedge.files.progress import NoProgress
from tfedge.modeling.nets import backbone
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import Frozen
from tfedge.pipeline.schema import pipeline_of
from tfedge.tflite.model import Model
from tfedge.tflite.reader import read

NAME, ALPHA, SIZE = "MobileNetV2", 0.35, 32
MODELS = Path(__file__).parents[1] / "unit" / "data"  # small .tflite files
CLASSES = ("blue", "green", "red")
TRAIN, VAL = (12, 8, 6), 5  # images a class; the classes are not equally large


def image(label: int, seed: int, size: int = SIZE) -> np.ndarray:
    """A grainy patch of one colour, uint8 [size, size, 3], lighter or darker, with a shadow."""
    rng = np.random.default_rng([label, seed])
    colour = np.full(3, 80)
    colour[label] = 180
    shadow = np.linspace(-20, 20, size)[:: rng.choice([-1, 1]), None, None]
    grain = rng.integers(-15, 16, (size, size, 3))
    return (colour + rng.integers(-25, 26) + shadow + grain).astype(np.uint8)


def images(root: Path) -> Path:
    """``train`` and ``val`` folders of PNG files, exactly as large as the net takes them."""
    for label, name in enumerate(CLASSES):
        for number in range(TRAIN[label] + VAL):
            split = "train" if number < TRAIN[label] else "val"
            path = root / split / name / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image(label, number)).save(path)
    return root


def computing(graph: Frozen) -> Callable[..., Any]:
    """What a frozen graph of one output gives for tensors."""

    def function(*given: Any) -> Any:
        feeds = {f"{spec.name}:0": tensor for spec, tensor in zip(graph.inputs, given, strict=True)}
        wanted = [f"{spec.name}:0" for spec in graph.outputs]
        (found,) = tf.graph_util.import_graph_def(graph.definition, feeds, wanted, name="")
        return found

    return tf.function(function, autograph=False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lively(net: Any, inputs: np.ndarray, seed: int = 1) -> backbone.Weights:
    """Weights of a net whose every layer says something: batch norm fitted to ``inputs``.

    With Keras' own initial statistics what a deep random net says fades out, and a wrong layer
    would not be seen; with wide ones (ReLU6 cutting half of all) it is chaos, in which no two
    images look alike.
    """
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            for variable, low, high in ((layer.gamma, 0.3, 0.6), (layer.beta, 0.8, 2.0)):
                if variable is not None:  # Inception has norms without gamma
                    variable.assign(rng.uniform(low, high, variable.shape))
    net(inputs, training=True)
    return backbone.weights_of(net)


KEY_BYTES = 36  # of a record in a store's list


class Notes(NoProgress):
    """Progress that remembers what the user was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


class Run:
    """A pipeline and the files of its stages, as the engine would hand them on."""

    def __init__(self, folder: Path, cache: Path, sections: dict[str, Any]) -> None:
        self.folder, self.cache, self.sections = folder, cache, sections
        short = {  # epochs say how long it takes, not the least number of steps
            name: {"steps": 0, **sections[name]}
            for name in ("prune", "cluster", "quantize")
            if sections.get(name) is not None
        }
        self.pipeline = pipeline_of(**{**sections, **short})
        self.files: dict[str, Path] = {}
        self.computed: list[int] = []  # records in each store of features
        self.progress = Notes()

    def __call__(self, *stages: str) -> Run:
        """Run stages; each gets the inputs that its row declares, and no others."""
        for name in stages:
            row = stage(name)
            out = self.folder / name
            out.mkdir(parents=True)
            function_of(row.function)(self.context(name))
            written = {path.name for path in out.iterdir()}
            assert set(row.outputs) <= written <= {*row.outputs, *row.optional_outputs}
            self.files |= {f"{name}/{file}": out / file for file in sorted(written)}
        return self

    def context(self, name: str) -> Context:
        inputs = {key: path for key, path in self.files.items() if key in stage(name).inputs}
        root = Path(self.sections["data"]["path"])
        out = self.folder / name
        return context_of(
            stage(name), self.pipeline, inputs, out, self.cache, root, self.progress, self.folder
        )

    def again(self, folder: Path, cache: Path | None = None, *, but: tuple[str, ...] = (), **new):
        """Another run on the files of this one, ``but`` those of some stages, with other settings.

        A section given as None is left out; else its keys are added to what it was.
        """
        sections = dict(self.sections)
        for name, section in new.items():
            sections[name] = None if section is None else {**(sections.get(name) or {}), **section}
        run = Run(folder, cache or self.cache, {k: v for k, v in sections.items() if v is not None})
        run.files = {k: path for k, path in self.files.items() if k.split("/")[0] not in but}
        return run

    def read(self, file: str) -> bytes:
        return self.files[file].read_bytes()

    def json(self, file: str) -> Any:
        return json.loads(self.read(file))

    def arrays(self, file: str) -> dict[str, np.ndarray]:
        """Those of a .npz, without what stands beside weights."""
        with np.load(self.files[file]) as archive:
            return {key: array for key, array in archive.items() if not key.startswith("tfedge/")}

    def tflite(self, file: str = "convert/model.tflite") -> Model:
        return read(self.files[file])

    def save(self) -> Path:
        """What ``main`` needs to go on from here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "tiny.json"
        files = {key: str(file) for key, file in self.files.items()}
        path.write_text(json.dumps({"sections": self.sections, "files": files}))
        return path


def begin(folder: Path, name: str = NAME, alpha: float = ALPHA, **sections: Any) -> Run:
    """A run whose data and backbone stages are done, from a weights file of a lively net."""
    root = images(folder / "pictures")
    fresh(1)
    net = backbone.bare(name, alpha, SIZE)
    pixels = np.stack([image(label, seed) for label in range(3) for seed in range(8)])
    base = folder / "base.npz"
    np.savez(base, **lively(net, pixels.astype(np.float32) / 127.5 - 1))
    fixed = {
        "name": "tiny",
        "data": {"path": str(root), "image_size": SIZE, **sections.pop("data", {})},
        "backbone": {"name": name, "alpha": alpha, "weights": str(base)},
    }
    return Run(folder / "run", folder / "cache", fixed | sections)("data", "backbone")


@cache
def chain(folder: Path) -> Run:
    """The whole chain on MobileNetV2, run once a session. Its files are not to be changed."""
    taught = {"teacher": 0.7, "hints": 1.0}
    settings = {"epochs": 4, "batch_size": 8, "learning_rate": 1e-4, "warmup": 0.0, **taught}
    run = begin(
        folder,
        data={"augment": {"views": 1}},
        finetune={"epochs": 12, "batch_size": 8, "learning_rate": 0.01},
        prune={**settings, "sparsity": 0.3, "also": ("depthwise", "head")},
        # Without corrections what is frozen is, in the graph, what it was before.
        quantize={**settings, "representative": 12, "correct": False},
        evaluate={},
    )
    run("finetune", "prune", "quantize", "convert", "evaluate")
    # Others go on from here in the same cache, and leave stores of their own there.
    stores = (run.cache / "store").glob("features-*/keys.bin")
    run.computed = [file.stat().st_size // KEY_BYTES for file in stores]
    return run


def main(run: str, out: str, *stages: str) -> None:
    saved = json.loads(Path(run).read_text())
    job = Run(Path(out), Path(out) / "cache", saved["sections"])
    job.files = {key: Path(path) for key, path in saved["files"].items()}
    job(*stages)


if __name__ == "__main__":
    main(*sys.argv[1:])
