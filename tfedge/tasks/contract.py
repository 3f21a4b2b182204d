"""The part of a drop's contract that is the same for all tasks: which tensors, how stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfedge.errors import DropError
from tfedge.tflite import reader
from tfedge.tflite.model import Tensor


def ports(model: bytes) -> tuple[Tensor, Tensor]:
    """The input and the output of a .tflite. DropError unless it has one of each, ArtifactError
    when it can't be read."""
    inputs, output = parts_of(model)
    if len(inputs) != 1:
        raise DropError(f"the model has {len(inputs)} inputs, a drop needs one")
    return inputs[0], output


def parts_of(model: bytes) -> tuple[tuple[Tensor, ...], Tensor]:
    """The inputs of a .tflite, in the order of their names, and its output. DropError unless it has
    one output, ArtifactError when it can't be read."""
    found = reader.read(model)
    if len(found.outputs) != 1:
        raise DropError(f"the model has {len(found.outputs)} outputs, a drop needs one")
    return tuple(sorted(found.inputs, key=lambda one: one.name)), found.outputs[0]


def as_given(inputs: Sequence[Tensor]) -> dict[str, Any]:
    """``dtype`` and ``shape`` of what a model takes: of several inputs, which are alike, the parts
    of an example stand along its first axis, in the order of their names."""
    first = inputs[0]
    shape = [*first.shape] if len(inputs) == 1 else [1, len(inputs), *first.shape[1:]]
    return {"dtype": first.dtype, "shape": shape}


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
