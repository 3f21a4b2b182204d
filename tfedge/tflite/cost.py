"""What a model costs: multiply-accumulates (MACs) per op, and the memory of its activations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfedge.tflite import values
from tfedge.tflite.model import Graph, Op, Tensor

ALIGNMENT = 64  # bytes; TensorFlow Lite starts every tensor of its arena on such a boundary
_MOST = 5_000  # tensors to plan; the time goes with the square
_STATEFUL = frozenset({"resource", "variant", "string"})  # live outside of the arena


def macs(op: Op, tensors: Sequence[Tensor]) -> int:
    """Multiply-accumulates of one op, 0 for those that do none worth counting.

    Convolutions, dense layers, matrix products and recurrent layers; biases, activations, pooling
    and element-wise ops are not counted, as is usual.
    """

    def tensor(position: int) -> Tensor | None:
        index = op.inputs[position] if position < len(op.inputs) else -1
        return tensors[index] if index >= 0 else None

    out = tensors[op.outputs[0]] if op.outputs else None
    first, second = tensor(0), tensor(1)
    if out is None or first is None or second is None:
        return 0
    if op.name in ("CONV_2D", "CONV_3D"):
        # [out, height, width, in] or [depth, height, width, in, out]: each output element takes
        # one product for each weight of its channel
        channels = second.shape[0 if op.name == "CONV_2D" else -1] if second.shape else 0
        return out.size * second.size // channels if channels else 0
    if op.name == "DEPTHWISE_CONV_2D":
        return out.size * math.prod(second.shape[1:3])
    if op.name == "TRANSPOSE_CONV":  # (output's shape, kernel, data)
        data = tensor(2)
        channels = second.shape[-1] if second.shape else 0
        return data.size * second.size // channels if data and channels else 0
    if op.name == "FULLY_CONNECTED":
        return first.size * second.shape[0] if second.shape else 0
    if op.name == "BATCH_MATMUL":
        shared = first.shape[-2 if op.option("adj_x") else -1] if len(first.shape) > 1 else 0
        return out.size * shared
    if op.name.endswith("LSTM") and len(first.shape) == 3:
        kernels = [tensor(position) for position in range(1, 9)]
        return math.prod(first.shape[:2]) * sum(kernel.size for kernel in kernels if kernel)
    return 0


def arena(graph: Graph) -> int | None:
    """Bytes that the activations of a graph need at once, as TensorFlow Lite's planner lays them.

    Each tensor lives from the op that makes it to the last that reads it; inputs and outputs of
    the graph live throughout. The greedy planner takes the largest tensor first and gives it the
    first gap that fits among those alive at the same time. An estimate: kernels want scratch
    memory of their own, XNNPACK and other delegates keep copies, some ops work in place. None for
    a graph with more tensors than any model that runs on a small device.
    """
    spans = _lifetimes(graph)
    if len(spans) > _MOST:
        return None
    sizes = {index: _bytes(graph.tensors[index]) for index in spans}
    # what lives throughout comes first, as in TensorFlow Lite; then by size, then by time
    whole = (0, len(graph.ops))
    order = sorted(spans, key=lambda i: (spans[i] != whole, -sizes[i], spans[i][0]))
    first, last = (np.array([spans[i][end] for i in order], np.int64) for end in (0, 1))
    size = np.array([sizes[i] for i in order], np.int64)
    offset = np.zeros(len(order), np.int64)
    for i in range(len(order)):
        alive = np.flatnonzero((first[:i] <= last[i]) & (last[:i] >= first[i]))
        alive = alive[np.argsort(offset[alive], kind="stable")]
        # where the tensors below end, and what is free between there and the next
        ends = np.concatenate(([0], np.maximum.accumulate(offset[alive] + size[alive])))
        fits = np.flatnonzero(offset[alive] - ends[:-1] >= size[i])
        offset[i] = ends[fits[0]] if fits.size else ends[-1]
    return int((offset + size).max(initial=0))


def _lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """First and last op of each tensor that is computed and takes memory."""
    end = len(graph.ops)
    spans: dict[int, tuple[int, int]] = {}
    for op in graph.ops:
        for index in op.outputs:
            spans.setdefault(index, (op.index, op.index))
        for index in op.inputs:
            if index in spans:
                spans[index] = (spans[index][0], op.index)
    spans |= dict.fromkeys((*graph.inputs, *graph.outputs), (0, end))
    for index in list(spans):
        tensor = graph.tensors[index]
        if tensor.is_const or tensor.dtype in _STATEFUL:
            del spans[index]
        elif tensor.is_variable:
            spans[index] = (0, end)
    return spans


def _bytes(tensor: Tensor) -> int:
    bits = values.storage_bits(tensor.dtype) or 0
    size = math.ceil(tensor.size * bits / 8)
    return math.ceil(size / ALIGNMENT) * ALIGNMENT
