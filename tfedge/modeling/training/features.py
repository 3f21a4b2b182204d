"""What a frozen part of a network says of each example, computed once and kept.

The frozen part is converted to .tflite and run by LiteRT on all cores; the results go into a record
store named after the part (its architecture and weights), under the digest of the example's content
(and of the augmentation, for views). Whoever needs them again, another stage, another run, a
pipeline with another head, reads them from a memory map.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfedge.core.accelerator import instructions
from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json, sha256_json, write_json
from tfedge.files.progress import Progress
from tfedge.files.store import MissingRecords, RecordStore, shared
from tfedge.modeling.nets.backbone import weights_of
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.ports import packed_shape
from tfedge.modeling.training import loop
from tfedge.modeling.training.loop import Gather
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import Items, Pool, Port, SideBySide

_CHUNK = 256  # examples computed before they are written

Item = tuple[int, int]  # row of the index, view: 0 is the example as it is
NOISY = -1  # the view that is the example with noise


class Source(Protocol):
    """The examples of a run as a network takes them, and where what is computed of them is kept."""

    @property
    def seed(self) -> int:
        """The run's."""

    @property
    def cache(self) -> Path:
        """The folder of record stores."""

    @property
    def progress(self) -> Progress: ...

    def key(self, item: Item) -> str:
        """The digest an item's record goes by."""

    @property
    def views(self) -> int:
        """How many changed views of each training example there are."""

    def beside(self, items: Sequence[Item]) -> Gather | None:
        """What a part above the frozen one reads of items beside its activations, by position:
        numbers that stand behind those, along the last axis. None: nothing."""

    def inputs(self, items: Sequence[Item]) -> Items:
        """What the network takes for items, one after the other, as it is stored."""

    def stream(
        self,
        rows: Sequence[int],
        learning_targets: loop.LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        noise: loop.Noise | None = None,
    ) -> loop.Batches:
        """Training batches of what is not kept: examples changed anew in each epoch."""

    def converted(self, model: Any) -> bytes:
        """A float .tflite of a network's lower part, from inputs as they are stored."""


def digest(model: Any, *more: str) -> str:
    """SHA-256 of a flat model: its layers, its weights, and what will run it: the runtime, and the
    instructions that its kernels are chosen by."""
    runtime = (version("ai-edge-litert"), instructions())
    sha = hashlib.sha256("|".join((*runtime, *more)).encode())
    for layer in model.layers:
        config = layer.get_config()
        config.pop("trainable", None)  # says how it learns, not what it computes
        if isinstance(layer, keras.layers.InputLayer):
            config.pop("name")  # Keras numbers them through
        sha.update(json.dumps([type(layer).__name__, config], default=str).encode())
    for key, value in weights_of(model).items():
        sha.update(key.encode())
        sha.update(value.tobytes())
    return sha.hexdigest()


def joined(found: Activations, beside: Gather | None) -> Gather:
    """What a part above the frozen one is fed with, by position."""
    if beside is None:
        return found
    return lambda at: np.concatenate([found(at), beside(at)], -1)


class Activations:
    """The outputs of a frozen part for items, float32 [n, *shape], gathered from a memory map.

    ``port`` says what stored int8 numbers mean; None: they are stored as they are.
    """

    def __init__(
        self, store: RecordStore, keys: Sequence[str], port: SideBySide | None = None
    ) -> None:
        self._rows = store.rows(keys)
        self._records, self._port = store.memmap, port

    def __len__(self) -> int:
        return len(self._rows)

    def __call__(self, items: np.ndarray) -> np.ndarray:
        found = np.asarray(self._records[self._rows[items]])
        return found if self._port is None else self._port.real(found)

    __getitem__ = __call__

    def first(self, count: int) -> Activations:
        """The first ``count`` alone."""
        found = copy(self)
        found._rows = self._rows[:count]
        return found


def compute(
    source: Source,
    items: Sequence[Item],
    *,
    name: str,
    shapes: Sequence[tuple[int, ...]],
    convert: Callable[[], bytes],
    what: str,
    inputs: Callable[[Sequence[int]], Any] | None = None,
    int8: bool = False,
) -> Activations:
    """Activations of all items; only those that the store lacks are computed.

    Args:
        name: digest of the part that computes them.
        shapes: of each output, without the batch; several are packed (see ``nets.ports``), and must
            differ: by its shape each is found in the .tflite, whose order and names are its
            converter's.
        convert: makes the .tflite, called only when something is missing, and then perhaps twice.
        what: for the progress line.
        inputs: what the part takes, at positions of ``items``; None: the examples themselves.
        int8: the .tflite gives int8, which is stored as it is; else it gives float32.
    """
    folder: Path = source.cache / "store" / f"features-{name[:32]}{'-int8' if int8 else ''}"
    store = shared(folder, np.int8 if int8 else np.float32, packed_shape(shapes))
    keys = [source.key(item) for item in items]
    port = _port(folder, convert, shapes) if int8 else None
    given = inputs or (lambda chunk: source.inputs([items[position] for position in chunk]))
    for _ in range(2):  # damaged records show once all are there
        with suppress(MissingRecords):
            return Activations(store, keys, port)
        _fill(store, keys, convert, given, what, source.progress, shapes)
    return Activations(store, keys, port)


def _port(
    folder: Path, convert: Callable[[], bytes], shapes: Sequence[tuple[int, ...]]
) -> SideBySide:
    """What the int8 numbers in a store mean, as the .tflite says or has said that gives them: those
    of several outputs stand one behind the other.

    It stands in ``steps.json``, which carries its own digest: a damaged one is made again.
    """
    path = folder / "steps.json"
    try:
        found = read_json(path)
        digest = found.pop("sha256")
        if digest == sha256_json(found):
            return _meaning(found)
    except (ArtifactError, AttributeError, KeyError, TypeError, ValueError):
        pass
    parts = []
    outputs = read(convert()).outputs
    for place in places([output.shape for output in outputs], shapes):
        output = outputs[place]
        if output.dtype != "int8" or output.quantization is None:
            raise ValueError(f"the frozen part gives {output.dtype}, not int8")
        (scale,), (zero_point,) = output.quantization.scales, output.quantization.zero_points
        parts.append({"scale": scale, "zero_point": zero_point, "size": output.size})
    steps: dict[str, Any] = {"parts": parts}
    if len(parts) == 1:
        steps = {key: parts[0][key] for key in ("scale", "zero_point")}
    write_json(path, {**steps, "sha256": sha256_json(steps)})
    return _meaning(steps)


def _meaning(steps: dict[str, Any]) -> SideBySide:
    """What ``steps.json`` says."""
    int8 = np.dtype(np.int8)
    return SideBySide(
        tuple(
            Port("", int8, (part.get("size", 0),), part["scale"], part["zero_point"])
            for part in steps.get("parts", [steps])
        )
    )


def _fill(
    store: RecordStore,
    keys: Sequence[str],
    convert: Callable[[], bytes],
    inputs: Callable[[Sequence[int]], Any],
    what: str,
    progress: Progress,
    shapes: Sequence[tuple[int, ...]],
) -> None:
    """Compute the records of ``keys`` that the store lacks, and put them into it.

    Several processes share the work: each takes a chunk that nobody is at, looks what is still
    missing of it, and waits at the end only for what others are at. Processes with the same
    examples compute nothing twice.
    """
    absent, total, done = set(store.missing(keys)), 0, 0
    chunks = []
    for first in range(0, len(keys), _CHUNK):
        chunk = range(first, min(first + _CHUNK, len(keys)))
        count = sum(keys[position] in absent for position in chunk)
        if count:
            chunks.append((chunk, count))
            total += count
    pool: Pool | None = None
    for note in (None, progress.note):
        left = []
        for chunk, count in chunks:
            with store.part(keys[chunk[0]][:16], what, note) as mine:
                if not mine:
                    left.append((chunk, count))
                    continue
                lacking = set(store.missing(keys[chunk.start : chunk.stop]))
                todo = [position for position in chunk if keys[position] in lacking]
                if todo:
                    pool = pool or Pool(convert())
                    report = partial(_report, progress, what, done, total)
                    wanted = places(pool.shapes, shapes)
                    outputs = pool.run(inputs(todo), outputs=wanted, raw=True, progress=report)
                    store.put([keys[position] for position in todo], _packed(outputs))
            done += count
            progress.update(what, done, total, "examples")
        chunks = left


def places(found: Sequence[tuple[int, ...]], shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Where the outputs of these shapes stand among those of a file, which have a batch of one.

    ValueError when they are others, or can't be told apart."""
    plain = [tuple(shape[1:]) for shape in found]
    if sorted(plain) != sorted(shapes) or len(set(plain)) < len(plain):
        raise ValueError(f"the frozen part gives {plain}, not {list(shapes)}, each once")
    return [plain.index(shape) for shape in shapes]


def _packed(outputs: list[np.ndarray]) -> np.ndarray:
    """What each of several outputs [n, …] says of an example, one behind the other: [n, F]."""
    if len(outputs) == 1:
        return outputs[0]
    return np.concatenate([output.reshape(len(output), -1) for output in outputs], 1)


def _report(progress: Progress, what: str, before: int, total: int, done: int, _: int) -> None:
    progress.update(what, before + done, total, "examples")
