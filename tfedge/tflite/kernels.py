"""8-bit ops in the form that LiteRT has a fast kernel for; what they compute stays the same.

XNNPACK runs most of an 8-bit graph. What it lacks costs some nets more than all the rest, measured
with LiteRT 2.3 on x86-64, and is written here in another way:

- RELU and RELU6 that stand alone (behind a sum that others read, too) have no 8-bit kernel there:
  the scalar one of LiteRT itself takes over, and cuts the graph. A MUL by one that has the ReLU
  fused gives the same bytes, and XNNPACK looks them up in a table.
- A depthwise kernel of more than 25 taps (7×7) has none either, and XNNPACK runs a convolution of
  one channel a group instead, 20 times slower than LiteRT's own depthwise kernel. XNNPACK takes
  constant kernels only, so one that comes out of a RESHAPE is left to LiteRT.

`tools/int8_table.py` compares what comes out with other converters.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.pack import pack

_Builtin, _Type = schema.BuiltinOperator, schema.TensorType
_FUSED = {
    _Builtin.RELU: schema.ActivationFunctionType.RELU,
    _Builtin.RELU6: schema.ActivationFunctionType.RELU6,
}
_MOST_TAPS = 25  # of XNNPACK's depthwise kernels
_ONE = 127  # with the scale 1/127


def with_fast_kernels(content: bytes) -> bytes:
    """An 8-bit .tflite of one subgraph, its ops in the form that LiteRT runs fastest."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    writer = _Writer(model)
    ops = [made for op in writer.graph.operators for made in writer.forms(op)]
    if not writer.changed:
        return content
    writer.graph.operators = ops
    return pack(model)


def with_constant_kernels(content: bytes) -> bytes:
    """The model with the kernels constants again that ``with_fast_kernels`` sends through RESHAPE.

    For the Edge TPU, which takes constant kernels only. Other files stay as they are.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    writer = _Writer(model)
    graph = writer.graph
    reshaped = {int(op.outputs[0]): op for op in graph.operators if writer.is_reshaped_kernel(op)}
    if not reshaped:
        return content
    for op in graph.operators:
        op.inputs = [
            int(reshaped[index].inputs[0]) if index in reshaped else index
            for index in map(int, op.inputs)
        ]
    dropped = {id(op) for op in reshaped.values()}
    graph.operators = [op for op in graph.operators if id(op) not in dropped]
    return pack(model)


class _Writer:
    """Adds tensors, constants and op codes to a model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        (self.graph,) = model.subgraphs
        self.changed = False
        self._one: int | None = None
        self._kinds = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]

    def forms(self, op: Any) -> list[Any]:
        """The ops to put in the place of one."""
        kind = self._kinds[op.opcodeIndex]
        if kind in _FUSED and self._is_int8(op.inputs[0]):
            return [self._as_product(op, kind)]
        if kind == _Builtin.DEPTHWISE_CONV_2D and self._is_int8(op.inputs[0]):
            _, rows, columns, _ = self.graph.tensors[op.inputs[1]].shape
            if rows * columns > _MOST_TAPS:
                return [self._reshape(op), op]
        return [op]

    def is_reshaped_kernel(self, op: Any) -> bool:
        """Whether an op is a RESHAPE of a constant with a scale for each channel."""
        if self._kinds[op.opcodeIndex] != _Builtin.RESHAPE:
            return False
        given = self.graph.tensors[op.inputs[0]]
        constant = self._model.buffers[given.buffer].data is not None
        return constant and given.type == _Type.INT8 and len(given.shape) == 4

    def _is_int8(self, index: int) -> bool:
        return bool(self.graph.tensors[index].type == _Type.INT8)

    def _as_product(self, op: Any, kind: int) -> Any:
        options = schema.MulOptionsT()
        options.fusedActivationFunction = _FUSED[kind]
        inputs = [int(op.inputs[0]), self._constant_one()]
        return self._op(
            (_Builtin.MUL, 2), inputs, op.outputs, schema.BuiltinOptions.MulOptions, options
        )

    def _constant_one(self) -> int:
        if self._one is None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.array([1 / _ONE], np.float32)
            quantization.zeroPoint = np.array([0], np.int64)
            self._one = self._constant("one", np.array(_ONE, np.int8), _Type.INT8, quantization)
        return self._one

    def _reshape(self, op: Any) -> Any:
        """What gives a depthwise op its kernel in the shape that it has already."""
        kernel = self.graph.tensors[op.inputs[1]]
        made = copy.copy(kernel)
        made.name, made.buffer = f"{_text(kernel.name)}/reshaped", 0
        shape = np.asarray(kernel.shape, np.int32)
        options = schema.ReshapeOptionsT()
        options.newShape = shape
        wanted = self._constant(f"{_text(kernel.name)}/shape", shape, _Type.INT32)
        added = self._tensor(made)
        reshape = self._op(
            (_Builtin.RESHAPE, 1),
            [int(op.inputs[1]), wanted],
            [added],
            schema.BuiltinOptions.ReshapeOptions,
            options,
        )
        op.inputs = [int(op.inputs[0]), added, *map(int, op.inputs[2:])]
        return reshape

    def _op(
        self,
        code: tuple[int, int],
        inputs: Sequence[int],
        outputs: Sequence[int],
        kind: int,
        options: Any,
    ) -> Any:
        self.changed = True
        op = schema.OperatorT()
        op.opcodeIndex = self._code(*code)
        op.inputs, op.outputs = list(inputs), list(outputs)
        op.builtinOptionsType, op.builtinOptions = kind, options
        return op

    def _code(self, kind: int, version: int) -> int:
        """The index of an op code; one of a later version does as well."""
        for index, code in enumerate(self._model.operatorCodes):
            if self._kinds[index] == kind and code.version >= version:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = version
        self._model.operatorCodes.append(code)
        self._kinds.append(kind)
        return len(self._kinds) - 1

    def _constant(self, name: str, values: np.ndarray, kind: int, quantization: Any = None) -> int:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.name, tensor.type, tensor.buffer = name, kind, len(self._model.buffers) - 1
        tensor.shape, tensor.hasRank = np.asarray(values.shape, np.int32), True
        tensor.quantization = quantization
        return self._tensor(tensor)

    def _tensor(self, tensor: Any) -> int:
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
