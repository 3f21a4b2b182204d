"""Which single op Google's Edge TPU compiler can map, and why not. The table of ops is
``catalog/edgetpu_ops.json``; how well this does is told in ``docs/edgetpu.md``.

The compiler is closed. The limits of memory here explain every op of the pairs that were looked
at: the chip has 16 tiles, 4 × 4, with 192 KiB for activations each. A tensor (the three innermost
dimensions y, x, z) is cut along y and x over the tiles, z stays whole and is padded to four bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tfedge import catalog
from tfedge.tflite.model import Op, Tensor
from tfedge.tflite.options import ACTIVATIONS
from tfedge.tflite.versions import as_numbers, minimum_runtime

_TABLE = Path(catalog.__file__).with_name("edgetpu_ops.json")

# What the compiler's log says of an op that it leaves to the CPU.
UNSUPPORTED = "operation not supported"
VERSION = "operation version not supported"
DATA_TYPE = "unsupported data type"
RANK = "unsupported rank"
LIMIT = "unspecified limitation"
SUBGRAPH = "more than one subgraph"
# What makes it refuse the whole file.
DYNAMIC = "dynamic shape"
TOO_NEW = "op too new for the compiler"

_GRID = 4  # tiles a side
_TILE = 196_608  # bytes of a tile for activations
_ROWS = _PLANES = _TILE // 2  # half: the other half is being filled or emptied meanwhile
_RELAYOUT = _TILE // 4  # the same, and a copy in the new order
_GATHERED = _TILE * 3 // 4  # all of it in one tile
_LONGEST_SOFTMAX = 16_384
_LARGEST_MEAN = 16_384  # y × x; 64 × 128 is mapped, 256 × 128 is not
_8_BIT = ("int8", "uint8")

# Positions of inputs that give a shape, an axis, a size …: not data, and known beforehand.
_SETTINGS: dict[str, tuple[int, ...]] = {
    "EXPAND_DIMS": (1,),
    "MEAN": (1,),
    "PAD": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TILE": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,),
}
_WEIGHTS: dict[str, tuple[int, ...]] = {  # positions of kernels and biases
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}


@dataclass(frozen=True)
class Verdict:
    """Why an op stays on the CPU: one of the statuses above, and the particulars."""

    status: str
    detail: str


def refusal(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    """What makes the compiler refuse the whole file because of this op; None for nothing."""
    runtime = None if op.custom else minimum_runtime(op.name, op.version)
    newest = table()["newest_runtime"]
    known = op.custom or runtime is not None
    if not known or (runtime and as_numbers(runtime) > as_numbers(newest)):
        needs = f"needs TensorFlow Lite {runtime}" if runtime else "is newer than any known"
        detail = f"{op.name} version {op.version} {needs}; the compiler has {newest}"
        return Verdict(TOO_NEW, detail)
    for position in _SETTINGS.get(op.name, ()):
        index = op.inputs[position] if position < len(op.inputs) else -1
        if index >= 0 and not tensors[index].is_const and tensors[index].size:
            return Verdict(DYNAMIC, f"its {tensors[index].name} is computed, so its shape is open")
    return None


def judge(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    """Why the compiler can't map this op on its own account; None when it can."""
    row = None if op.custom else table()["ops"].get(op.name)
    if op.custom:
        return Verdict(UNSUPPORTED, f"custom op {op.name}")
    if row is None:
        other = table()["instead"].get(op.name)
        return Verdict(UNSUPPORTED, other or "the chip has no such op")
    if not op.inputs or not op.outputs:
        return Verdict(LIMIT, "has no input or no output")
    newest, holds = row
    if op.version > newest:
        return Verdict(VERSION, f"version {op.version}; up to {newest} is mapped")
    data = [tensors[i] for i in _data(op) if not tensors[i].is_const]
    every = [tensors[i] for i in _data(op)]
    for tensor in every:
        if any(side > 1 for side in tensor.shape[:-3]):
            shape = "×".join(map(str, tensor.shape))
            return Verdict(RANK, f"{shape}: only the three innermost dimensions may be above 1")
    for tensor in every:
        if tensor.dtype not in _8_BIT:
            return Verdict(DATA_TYPE, f"{tensor.name} is {tensor.dtype}")
    for position in _WEIGHTS.get(op.name, ()):
        index = op.inputs[position] if position < len(op.inputs) else -1
        if index >= 0 and tensors[index].dtype not in (*_8_BIT, "int32"):
            return Verdict(DATA_TYPE, f"{tensors[index].name} is {tensors[index].dtype}")
        if index >= 0 and not tensors[index].is_const and op.name != "FULLY_CONNECTED":
            return Verdict(LIMIT, f"{tensors[index].name}, its kernel or bias, is computed")
    special = _SPECIAL.get(op.name)
    return (special(op, tensors) if special else None) or _memory(op, holds, data)


@cache
def table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return found


def _data(op: Op) -> list[int]:
    """Tensors that go through the op: no kernels, no biases, no settings."""
    left_out = {*_SETTINGS.get(op.name, ()), *_WEIGHTS.get(op.name, ())}
    if op.name.endswith("LSTM"):
        left_out = set(range(1, len(op.inputs)))  # kernels, and states of 16 bits
    read = [i for position, i in enumerate(op.inputs) if position not in left_out and i >= 0]
    return [*read, *op.outputs]


# -------------------------------------------------------------------------------------- memory


def _memory(op: Op, holds: str, data: Sequence[Tensor]) -> Verdict | None:
    measure, limit = _MEASURES[holds]
    if op.name == "RESHAPE" and data[-1].size == _inner(data[-1])[2]:
        return None  # into a vector, for a dense layer: nothing is moved
    if op.name == "CONCATENATION" and not _along_z(op, data[-1]):
        data = data[-1:]  # the parts lie one behind the other already
    needed = sum(measure(_inner(tensor)) for tensor in data)
    if needed <= limit:
        return None
    shapes = " and ".join("×".join(map(str, tensor.shape)) for tensor in data[:2])
    many = f"{shapes}{' …' if len(data) > 2 else ''}"
    return Verdict(LIMIT, f"{many} need {needed:,} bytes in a tile; about {limit:,} are there")


def _inner(tensor: Tensor) -> tuple[int, int, int]:
    """(y, x, z): the three innermost dimensions."""
    y, x, z = (1, 1, 1, *tensor.shape)[-3:]
    return y, x, z


def _padded(z: int) -> int:
    return math.ceil(z / 4) * 4


def _row(shape: tuple[int, int, int]) -> int:
    return math.ceil(shape[1] / _GRID) * _padded(shape[2])


def _plane(shape: tuple[int, int, int]) -> int:
    return math.ceil(shape[0] / _GRID) * _row(shape)


_MEASURES: dict[str, tuple[Callable[[tuple[int, int, int]], int], int]] = {
    "rows": (_row, _ROWS),
    "planes": (_plane, _PLANES),
    "relayout": (_plane, _RELAYOUT),
    "gathered": (lambda shape: shape[0] * shape[1] * _padded(shape[2]), _GATHERED),
    "free": (lambda shape: 0, _TILE),
}


def _along_z(op: Op, out: Tensor) -> bool:
    return op.option("axis") in (-1, len(out.shape) - 1)


# ----------------------------------------------------------------------- limitations of single ops


def _fused(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    code = op.option("fused_activation_function")
    return Verdict(LIMIT, f"has {ACTIVATIONS.get(code, code)} fused into it") if code else None


def _concatenation(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    constants = [tensors[i] for i in op.inputs if i >= 0 and tensors[i].is_const]
    for constant in constants:
        if len(op.inputs) != 2 or constant.zeros != constant.size:
            return Verdict(LIMIT, "a constant input must be all zeros, and one of two inputs")
    return _fused(op, tensors)


def _conv(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    if op.option("dilation_w_factor", 1) != op.option("dilation_h_factor", 1):
        kernel = tensors[op.inputs[1]].shape if len(op.inputs) > 1 and op.inputs[1] >= 0 else ()
        if 1 not in kernel[1:3]:  # a kernel of one row or column has only one dilation
            return Verdict(LIMIT, "dilation differs between height and width")
    return None


def _dense(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    return Verdict(LIMIT, "weights in a shuffled format") if op.option("weights_format") else None


def _softmax(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    z = _inner(tensors[op.outputs[0]])[2] if op.outputs else 0
    if z > _LONGEST_SOFTMAX:
        return Verdict(LIMIT, f"over {z:,} values; about {_LONGEST_SOFTMAX:,} at most")
    return None


def _resize(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    given, made = (tensors[i[0]] for i in (op.inputs, op.outputs))
    if _inner(given)[:2] == (1, 1) and _inner(made)[:2] != (1, 1):
        return Verdict(LIMIT, "from 1×1 there is nothing to interpolate; use TILE")
    return None


def _strided_slice(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    if op.option("ellipsis_mask") or op.option("new_axis_mask"):
        return Verdict(LIMIT, "with an ellipsis or a new axis")
    strides = _values(op, 3, tensors)
    if strides is not None and np.any(strides != 1):
        return Verdict(LIMIT, f"strides {strides.tolist()}; only 1 is mapped")
    return None


def _prelu(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    slope = tensors[op.inputs[1]] if len(op.inputs) > 1 and op.inputs[1] >= 0 else None
    if slope is not None and math.prod(slope.shape[:-1]) != 1:
        return Verdict(LIMIT, "a slope for each position; one for each channel is mapped")
    return None


def _not_the_first(position: int, what: str) -> Callable[[Op, Sequence[Tensor]], Verdict | None]:
    """A rule: the axes in that input leave the first dimension alone, unless it is 1."""

    def rule(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
        axes = _values(op, position, tensors)
        index = op.inputs[1 - position] if len(op.inputs) > 1 else -1
        shape = tensors[index].shape if index >= 0 else ()
        if axes is None or len(shape) < 3 or shape[0] == 1:
            return None
        first = any(int(axis) % len(shape) == 0 for axis in axes.ravel())
        return Verdict(LIMIT, f"{what} along the first dimension") if first else None

    return rule


def _mean(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    y, x, _ = _inner(tensors[op.inputs[0]])
    if y * x > _LARGEST_MEAN:
        return Verdict(LIMIT, f"over {y}×{x} positions; about {_LARGEST_MEAN:,} at most")
    return _not_the_first(1, "reduces")(op, tensors)


def _pad(op: Op, tensors: Sequence[Tensor]) -> Verdict | None:
    paddings = _values(op, 1, tensors)
    rank = len(tensors[op.outputs[0]].shape) if op.outputs else 0
    if paddings is not None and rank > 3 and np.any(paddings.ravel()[: 2 * (rank - 3)]):
        return Verdict(LIMIT, "pads the batch")
    return None


def _values(op: Op, position: int, tensors: Sequence[Tensor]) -> np.ndarray | None:
    """The whole numbers that an input holds; None when they are not known."""
    index = op.inputs[position] if position < len(op.inputs) else -1
    if index < 0 or not tensors[index].is_const or tensors[index].sparse:
        return None
    return tensors[index].values() if tensors[index].dtype in ("int32", "int64") else None


_SPECIAL: dict[str, Callable[[Op, Sequence[Tensor]], Verdict | None]] = {
    "AVERAGE_POOL_2D": _fused,
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _conv,
    "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": _fused,
    "MEAN": _mean,
    "PAD": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _not_the_first(1, "reduces"),
    "REDUCE_MIN": _not_the_first(1, "reduces"),
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SOFTMAX": _softmax,
    "SPLIT": _not_the_first(0, "splits"),
    "STRIDED_SLICE": _strided_slice,
    "SUM": _not_the_first(1, "reduces"),
}
