"""Small models as the reader gives them, made by hand; and .tflite bytes with parts exchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.model import Graph, Model, Op, Tensor

DATA = Path(__file__).parent / "data"
NAMES = ("color_float", "color_int8", "color_sin", "color_wide", "color_half", "digits_int8")


class Net:
    """Builds a model of one graph: ``net.op("ADD", [a, b], [1, 4, 4, 8])`` gives its output."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.given: list[int] = []

    def tensor(
        self, shape: Sequence[int], dtype: str = "int8", values: Any = None, **more: Any
    ) -> int:
        """A tensor that is computed; with ``values`` a constant."""
        data = None
        if values is not None:
            array = np.broadcast_to(np.asarray(values, dtype), shape)
            data = np.frombuffer(array.tobytes(), np.uint8)
        self.tensors.append(
            Tensor(
                index=len(self.tensors),
                name=f"t{len(self.tensors)}",
                dtype=dtype,
                shape=tuple(shape),
                shape_signature=more.pop("signature", tuple(shape)),
                quantization=None,
                is_const=data is not None,
                bytes=0 if data is None else data.size,
                data=data,
                **more,
            )
        )
        return len(self.tensors) - 1

    def input(self, shape: Sequence[int], dtype: str = "int8", **more: Any) -> int:
        self.given.append(self.tensor(shape, dtype, **more))
        return self.given[-1]

    def op(
        self,
        name: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: str = "int8",
        *,
        version: int = 1,
        custom: bool = False,
        **options: Any,
    ) -> int:
        made = self.tensor(shape, dtype)
        index = len(self.ops)
        self.ops.append(Op(index, name, version, tuple(inputs), (made,), custom, options))
        return made

    def model(self, *outputs: int) -> Model:
        graph = Graph(
            "main", tuple(self.tensors), tuple(self.ops), tuple(self.given), tuple(outputs)
        )
        return Model(3, "", (graph,), 1000, {})


def conv(net: Net, x: int, channels: int, kernel: int = 1) -> int:
    """A convolution of stride 1 with stored weights, all ones."""
    shape = net.tensors[x].shape
    weights = net.tensor((channels, kernel, kernel, shape[-1]), values=1)
    bias = net.tensor((channels,), "int32", values=0)
    return net.op("CONV_2D", [x, weights, bias], (*shape[:-1], channels), version=3)


def packed(model: Any) -> bytes:
    """The bytes of a schema ``ModelT``."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


Part = tuple[Sequence[int], str, Any]  # shape, dtype, and values of a constant or None


def one_op(
    name: str,
    inputs: Sequence[Part],
    outputs: Sequence[Part],
    options: Any = None,
    change: Callable[[Any], object] = lambda model: None,
) -> bytes:
    """A file with a single op: what of ``inputs`` is no constant is an input of the graph.

    ``options``: a table of the schema, as ``SplitOptionsT()``. int8 and uint8 have the scale 0.5.
    """
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs = [], [], []
    for number, (shape, dtype, values) in enumerate([*inputs, *outputs]):
        tensor = schema.TensorT()
        tensor.name, tensor.shape = f"t{number}", list(shape)
        tensor.type = getattr(schema.TensorType, dtype.upper())
        tensor.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            array = np.broadcast_to(np.asarray(values, dtype), shape)
            buffer.data = np.frombuffer(array.tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        elif number < len(inputs):
            graph.inputs.append(number)
        if dtype in ("int8", "uint8"):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [0.5], [0]
        graph.tensors.append(tensor)
    op = schema.OperatorT()
    op.inputs = list(range(len(inputs)))
    op.outputs = graph.outputs = list(range(len(inputs), len(graph.tensors)))
    if options is not None:
        op.builtinOptions = options
        kind = type(options).__name__.removesuffix("T")
        op.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    graph.operators, model.operatorCodes, model.subgraphs = [op], [code], [graph]
    change(model)
    return packed(model)


def repacked(name: str, change: Callable[[Any], object]) -> bytes:
    """A file of tests/unit/data with its object tree changed by ``change(model)``."""
    model = schema.ModelT.InitFromPackedBuf((DATA / f"{name}.tflite").read_bytes(), 0)
    change(model)
    return packed(model)
