"""MANIFEST.json: what a drop holds, by digest, and how to call its model.

Deterministic: sorted, no times, no paths of the machine that made it. Nothing in it but the
benchmark's numbers differs between two runs over the same inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tfedge import __version__
from tfedge.bench.result import Result
from tfedge.drops.golden import Pair
from tfedge.errors import DropError
from tfedge.tflite import reader
from tfedge.tflite.model import Tensor

SCHEMA = "tfedge.drop/1"
NAME = "MANIFEST.json"
_LIBRARIES = (
    "ai-edge-litert",
    "numpy",
    "pillow",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
)


def library_versions() -> dict[str, str]:
    """Versions of what makes a model; what is not installed is left out."""
    found = {"tfedge": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Content:
    """Everything a drop is made of, whatever its target. The mappings are ready for JSON."""

    name: str
    model: bytes
    classes: tuple[str, ...]
    fit: str  # how a picture becomes square: crop | stretch | pad
    golden: tuple[Pair, ...]
    data: Mapping[str, Any]  # source, digest, counts
    backbone: Mapping[str, Any]  # base.json
    recipe: Mapping[str, Any]  # the prune and quantize sections, None where left out
    sparsity: float | None
    run_key: str = ""
    metrics: Mapping[str, Any] | None = None  # metrics.json
    benchmark: Sequence[Result] = ()
    versions: Mapping[str, str] = field(default_factory=library_versions)


def contract(content: Content) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the model is fed and read. DropError when it is no classifier of raw pixels."""
    model = reader.read(content.model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        ports = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        raise DropError(f"the model has {ports}, a drop needs one of each")
    pixels, scores = model.inputs[0], model.outputs[0]
    if pixels.dtype != "uint8" or len(pixels.shape) != 4 or pixels.shape[3] != 3:
        got = f"{pixels.dtype} {list(pixels.shape)}"
        raise DropError(f"the model takes {got}, a drop needs uint8 [1, size, size, 3]")
    if scores.shape != (1, len(content.classes)):
        got = f"{list(scores.shape)} scores for {len(content.classes)} classes"
        raise DropError(f"the model gives {got}")
    given = {
        "dtype": pixels.dtype,
        "shape": list(pixels.shape),
        "layout": "NHWC",
        "color": "RGB",
        "range": [0, 255],
        "fit": content.fit,
    }
    scale, zero_point = _scale(scores)
    taken = {
        "dtype": scores.dtype,
        "shape": list(scores.shape),
        "scale": scale,
        "zero_point": zero_point,
        "meaning": "softmax score of each class, in the order of classes",
    }
    return given, taken


def _scale(tensor: Tensor) -> tuple[float | None, int]:
    if tensor.quantization is None:
        return None, 0
    return tensor.quantization.scales[0], tensor.quantization.zero_points[0]


def build(content: Content, target: str, model_file: str, folder: Path) -> dict[str, Any]:
    """The manifest of the files that lie in ``folder``, which is complete but for the manifest."""
    given, taken = contract(content)
    return {
        "schema": SCHEMA,
        "name": content.name,
        "target": target,
        "model": model_file,
        "input": given,
        "output": taken,
        "classes": list(content.classes),
        "golden": [pair.entry(i) for i, pair in enumerate(content.golden)],
        "run_key": content.run_key,
        "versions": dict(content.versions),
        "data": dict(content.data),
        "backbone": dict(content.backbone),
        "recipe": dict(content.recipe),
        "sparsity": content.sparsity,
        "metrics": None if content.metrics is None else _public(content.metrics),
        "benchmark": [figures(result) for result in content.benchmark],
        "files": {name: _entry(path) for name, path in sorted(_files(folder).items())},
    }


def _public(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers without the names of single pictures, which are nobody's business."""
    return {key: value for key, value in metrics.items() if key != "worst"}


def figures(result: Result) -> dict[str, Any]:
    """One measurement without its raw samples; nanoseconds and bytes."""
    return {
        "model": result.model,
        "runtime": result.runtime,
        "runtime_version": result.runtime_version,
        "threads": result.threads,
        "cpu": result.host.cpu,
        "machine": result.host.machine,
        "n": result.summary.n,
        "median_ns": result.summary.median,
        "mad_ns": result.summary.mad,
        "peak_bytes": result.peak_bytes,
        "unstable": result.unstable,
    }


def write(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write it and return its SHA-256."""
    content = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    data = (content + "\n").encode("utf-8")
    (folder / NAME).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def verify(folder: Path) -> dict[str, Any]:
    """Read a drop back: every file there, none besides, all digests right. DropError otherwise."""
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except OSError as error:
        raise DropError(f"{folder / NAME}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise DropError(f"{folder / NAME}: no JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise DropError(f"{folder / NAME}: no manifest of the kind {SCHEMA}")
    expected, found = manifest.get("files"), _files(folder)
    if not isinstance(expected, dict):
        raise DropError(f"{folder / NAME}: lists no files")
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [
        f"{name} is not in the manifest" for name in sorted(found.keys() - expected.keys())
    ]
    both = sorted(expected.keys() & found.keys())
    problems += [f"{name} was changed" for name in both if _entry(found[name]) != expected[name]]
    if problems:
        raise DropError(f"{folder}: {'; '.join(problems)}", "make the drop again")
    return manifest


def _files(folder: Path) -> dict[str, Path]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path for name, path in files.items() if path.is_file() and name != NAME}


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
