"""The part of a drop's contract that is the same for all tasks: which tensors, how stored."""

from __future__ import annotations

from typing import Any

from tfedge.errors import DropError
from tfedge.tflite import reader
from tfedge.tflite.model import Tensor


def ports(model: bytes) -> tuple[Tensor, Tensor]:
    """The input and the output of a .tflite. DropError unless it has one of each, ArtifactError
    when it can't be read."""
    found = reader.read(model)
    if len(found.inputs) != 1 or len(found.outputs) != 1:
        count = f"{len(found.inputs)} inputs and {len(found.outputs)} outputs"
        raise DropError(f"the model has {count}, a drop needs one of each")
    return found.inputs[0], found.outputs[0]


def stored(tensor: Tensor) -> dict[str, Any]:
    """``dtype``, ``shape`` with the batch of one, ``scale`` and ``zero_point`` of a tensor: a real
    value is (stored - zero_point) * scale. A float tensor has the scale None."""
    scales = tensor.quantization
    return {
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "scale": scales.scales[0] if scales else None,
        "zero_point": scales.zero_points[0] if scales else 0,
    }
