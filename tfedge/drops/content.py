"""What a drop is made of, whatever its target, and how its model is fed and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tfedge import __version__
from tfedge.benchmark.result import Result
from tfedge.drops.golden import Pair
from tfedge.errors import DropError
from tfedge.pipeline.schema import Package
from tfedge.tflite import reader
from tfedge.tflite.model import Tensor

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
    # The prune and quantize sections, None where left out; "distill" and "cluster" where they ran.
    recipe: Mapping[str, Any]
    sparsity: float | None
    run_key: str = ""
    metrics: Mapping[str, Any] | None = None  # metrics.json
    benchmark: Sequence[Result] = ()
    package: Package = field(default_factory=Package)
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
