"""The part of a drop's contract that is the same for all tasks: which tensors, how stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.tflite import reader
from tfedge.tflite.model import Tensor
from tfedge.tflite.runtime import Port, SideBySide


def ports(model: bytes) -> tuple[Tensor, Tensor]:
    """The input and the output of a .tflite. DropError unless it has one of each, ArtifactError
    when it can't be read."""
    inputs, output = parts_of(model)
    return _only(inputs, "inputs"), output


def parts_of(model: bytes) -> tuple[tuple[Tensor, ...], Tensor]:
    """The inputs of a .tflite, in the order of their names, and its output. DropError unless it has
    one output, ArtifactError when it can't be read."""
    found = reader.read(model)
    return by_name(found.inputs), _only(found.outputs, "outputs")


def by_name(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Inputs or outputs in the order of their names; that in the file is its converter's."""
    return tuple(sorted(tensors, key=lambda one: one.name))


def _only(tensors: Sequence[Tensor], what: str) -> Tensor:
    if len(tensors) != 1:
        raise DropError(f"the model has {len(tensors)} {what}, a drop needs one")
    return tensors[0]


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


def as_taken(outputs: Sequence[Tensor]) -> dict[str, Any]:
    """``stored`` of a model's output; of several ``dtype`` and ``shape`` of all, side by side along
    the last axis in the order of their names, and in ``parts`` the name and the rest of each.
    ValueError where they differ in more than their last side."""
    parts = [stored(tensor) | {"name": tensor.name} for tensor in by_name(outputs)]
    if len(parts) == 1:
        return stored(outputs[0])
    first = parts[0]
    if any((p["dtype"], p["shape"][:-1]) != (first["dtype"], first["shape"][:-1]) for p in parts):
        raise ValueError("its outputs don't stand side by side: they differ in type or shape")
    shape = [*first["shape"][:-1], sum(part["shape"][-1] for part in parts)]
    whole = {"dtype": first["dtype"], "shape": shape, "scale": None, "zero_point": 0}
    return whole | {"parts": [{k: v for k, v in part.items() if k != "dtype"} for part in parts]}


def taken_ports(taken: Mapping[str, Any]) -> SideBySide:
    """What ``as_taken`` tells, as the ports that make stored values real."""
    dtype, ports = np.dtype(taken["dtype"]), []
    for part in taken.get("parts") or [{**taken, "name": ""}]:
        name, shape, scale = part["name"], tuple(part["shape"]), part["scale"] or 0.0
        ports.append(Port(name, dtype, shape, scale, part["zero_point"]))
    return SideBySide(tuple(ports))
