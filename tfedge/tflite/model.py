"""What a .tflite holds, as :mod:`tfedge.tflite.reader` found it: graphs, ops, tensors, kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tfedge.tflite import values
from tfedge.tflite.options import Value
from tfedge.tflite.sparse import Layout, written_out

# Ops that own kernels -> (input that is the data, input that is the kernel).
WEIGHTED: dict[str, tuple[int, int]] = {
    "CONV_2D": (0, 1),
    "DEPTHWISE_CONV_2D": (0, 1),
    "FULLY_CONNECTED": (0, 1),
    "TRANSPOSE_CONV": (2, 1),
    "CONV_3D": (0, 1),
    "CONV_3D_TRANSPOSE": (2, 1),
}
# What may stand between a stored kernel and its op.
UNPACKING = frozenset({"DEQUANTIZE", "DENSIFY", "RESHAPE"})


@dataclass(frozen=True)
class Quantization:
    """``real = scale * (stored - zero_point)``; one pair, or one for each index of ``axis``."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None  # None: one pair for the whole tensor


@dataclass(frozen=True)
class Tensor:
    index: int
    name: str
    dtype: str  # "float32", "int8", "uint8", "int4" …
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]  # as shape, with -1 where a dimension is open
    quantization: Quantization | None
    is_const: bool
    bytes: int  # that the constant takes in the file; 0 for what is computed
    data: np.ndarray | None = field(repr=False, compare=False)  # uint8, the constant as stored
    sparse: bool = False  # stored without its zeros
    layout: Layout | None = field(default=None, repr=False, compare=False)  # of a sparse one
    is_variable: bool = False  # keeps its value from one inference to the next

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def values(self) -> np.ndarray:
        """The constant as stored, in its shape (flat when ``sparse``: only what is stored)."""
        if self.data is None or values.storage_bits(self.dtype) is None:
            raise ValueError(f"tensor {self.name} is {self.dtype}, not a constant with values")
        flat = values.decode(self.data, self.dtype, self.size)
        return flat if self.sparse else flat.reshape(self.shape)

    def whole(self) -> np.ndarray:
        """The constant in its shape, also when it is ``sparse``. ValueError as ``values``."""
        stored = self.values()
        return written_out(stored, self.shape, self.layout) if self.layout else stored

    @cached_property
    def zeros(self) -> int:
        """How many elements of the constant are exactly zero: stored value == zero point."""
        stored = self.values()
        points = self.quantization.zero_points if self.quantization else (0,)
        zero = np.asarray(points, np.int64)
        if zero.size > 1 and not self.sparse and self.quantization is not None:
            shape = [1] * stored.ndim
            shape[self.quantization.axis or 0] = zero.size
            zero = zero.reshape(shape)
        elif zero.size > 1:
            zero = zero[:1]  # per-channel kernels are symmetric: every zero point is 0
        found = int(np.count_nonzero(stored == zero))
        return found + self.size - stored.size if self.sparse else found


@dataclass(frozen=True)
class Op:
    index: int
    name: str  # "CONV_2D"; for a custom op its own name
    version: int
    inputs: tuple[int, ...]  # tensor indices; -1: an optional input that is not given
    outputs: tuple[int, ...]
    custom: bool = False
    options: Mapping[str, Value] = field(default_factory=dict, hash=False)  # "stride_w" …
    # what a custom op carries, uint8
    custom_options: np.ndarray | None = field(default=None, repr=False, compare=False)

    def option(self, name: str, default: int = 0) -> int:
        """An option that is a whole number; ``default`` where the file does not tell."""
        value = self.options.get(name, default)
        return int(value) if isinstance(value, (int, float)) else default


@dataclass(frozen=True)
class Graph:
    """One subgraph; a vision model has one."""

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Kernel:
    """The weights of one convolution or dense op."""

    op: str
    op_index: int
    tensor: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    zeros: int
    is_first: bool  # consumes the model's input, if through QUANTIZE, MUL, PAD …
    per_channel: bool = False  # a scale for each output channel, not one for all


@dataclass(frozen=True)
class FloatTensor:
    name: str
    dtype: str
    produced_by: str | None  # "12 DEQUANTIZE"; None: a constant or an input of the model
    consumed_by: tuple[str, ...]

    def __str__(self) -> str:
        ops = ", ".join([*([self.produced_by] if self.produced_by else []), *self.consumed_by])
        return f"{self.name} ({self.dtype}; ops: {ops or 'none'})"


@dataclass(frozen=True)
class Signature:
    """A way to call the model by names; tensors by their index in ``graph``."""

    key: str
    graph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Model:
    version: int
    description: str
    graphs: tuple[Graph, ...]
    size: int  # bytes of the file
    metadata: Mapping[str, bytes]  # name of the metadata entry -> its buffer
    signatures: tuple[Signature, ...] = ()

    @property
    def ops(self) -> tuple[Op, ...]:
        return self.graphs[0].ops

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.graphs[0].tensors

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[i] for i in self.graphs[0].inputs)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[i] for i in self.graphs[0].outputs)

    def float_tensors(self) -> list[FloatTensor]:
        """Every tensor of a float type, constants too, with the ops that make and read it."""
        found = []
        for graph in self.graphs:
            makers = {t: f"{op.index} {op.name}" for op in graph.ops for t in op.outputs}
            readers: dict[int, list[str]] = {}
            for op in graph.ops:
                for i in dict.fromkeys(op.inputs):
                    readers.setdefault(i, []).append(f"{op.index} {op.name}")
            found += [
                FloatTensor(t.name, t.dtype, makers.get(t.index), tuple(readers.get(t.index, ())))
                for t in graph.tensors
                if t.dtype in values.FLOATS
            ]
        return found

    def kernels(self) -> list[Kernel]:
        """The stored kernels of the main graph in the order of their ops; a shared one once. Those
        that do no more than take the mean of a window are none."""
        graph = self.graphs[0]
        makers = {t: op for op in graph.ops for t in op.outputs}
        fixed = {t.index for t in graph.tensors if t.is_const} | {-1}  # known before any input
        raw = set(graph.inputs)  # made of the model's input and of nothing learnt by a kernel
        seen: set[int] = set()
        found = []
        for op in graph.ops:
            if op.name not in WEIGHTED:
                computed = set(op.inputs) - fixed
                if computed <= raw:
                    (raw if computed else fixed).update(op.outputs)
                continue
            data, index = (op.inputs[i] if i < len(op.inputs) else -1 for i in WEIGHTED[op.name])
            for _ in UNPACKING:  # each at most once
                if index in makers and makers[index].name in UNPACKING and makers[index].inputs:
                    index = makers[index].inputs[0]
            if index < 0 or index in seen or not graph.tensors[index].is_const:
                continue  # its weights are computed: nothing is stored
            tensor = graph.tensors[index]
            if values.storage_bits(tensor.dtype) is None:
                continue  # no kernel has such a type, whatever the file says
            if op.name == "DEPTHWISE_CONV_2D" and _takes_means(tensor):
                continue  # a pool that is written as a convolution (pools.py): nothing is learnt
            seen.add(index)
            found.append(
                Kernel(
                    op=op.name,
                    op_index=op.index,
                    tensor=tensor.name,
                    dtype=tensor.dtype,
                    shape=tensor.shape,
                    size=tensor.size,
                    zeros=tensor.zeros,
                    is_first=data in raw,
                    per_channel=tensor.quantization is not None
                    and tensor.quantization.axis is not None,
                )
            )
        return found


def _takes_means(kernel: Tensor) -> bool:
    """Whether a depthwise kernel gives the mean of a window, in every channel: all of its numbers
    are one part of the window."""
    quantization = kernel.quantization
    if kernel.dtype != "int8" or quantization is None or len(quantization.scales) != 1:
        return False
    if kernel.sparse or len(kernel.shape) != 4 or not kernel.size:
        return False
    stored, taps = kernel.values().ravel(), kernel.size // kernel.shape[-1]
    part = np.float32(1 / (int(stored[0]) * taps)) if stored[0] > 0 else None
    return np.float32(quantization.scales[0]) == part and bool((stored == stored[0]).all())
