"""Changing a .tflite through the schema's own Python classes (``ModelT`` and what it holds)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.pack import pack

_TYPES: Mapping[str, int] = {
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}  # of the constants that are added


class Editor:
    """A file of one subgraph, taken apart. ``model`` and ``graph`` may be changed directly; the
    methods do what needs more than one of the model's lists."""

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        (self.graph,) = self.model.subgraphs
        codes = self.model.operatorCodes
        self._kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in codes]

    def content(self) -> bytes:
        """The file as it is now."""
        return pack(self.model)

    def kind(self, op: Any) -> int:
        """The ``BuiltinOperator`` of an op."""
        return self._kinds[op.opcodeIndex]

    def name(self, index: int) -> str:
        """Of a tensor."""
        name = self.graph.tensors[index].name
        return str(name.decode() if isinstance(name, bytes) else name)

    def op(
        self, kind: int, version: int, inputs: Sequence[int], outputs: Sequence[int], options: Any
    ) -> Any:
        """A new op, which is in no list yet; ``options``: such as ``MulOptionsT()``."""
        op = schema.OperatorT()
        op.opcodeIndex = self._code(kind, version)
        op.inputs, op.outputs = list(inputs), list(outputs)
        named = type(options).__name__.removesuffix("T")
        op.builtinOptionsType = getattr(schema.BuiltinOptions, named)
        op.builtinOptions = options
        return op

    def _code(self, kind: int, version: int) -> int:
        """The index of an op code; one of a later version does as well."""
        for index, code in enumerate(self.model.operatorCodes):
            if self._kinds[index] == kind and code.version >= version:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = version
        self.model.operatorCodes.append(code)
        self._kinds.append(kind)
        return len(self._kinds) - 1

    def add(self, tensor: Any) -> int:
        """The index of a new tensor."""
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def computed(self, name: str, shape: Sequence[int], kind: int) -> int:
        """The index of a new tensor that an op gives; ``kind``: of ``TensorType``."""
        return self.add(_tensor(name, shape, kind))

    def constant(self, name: str, values: np.ndarray, quantization: Any = None) -> int:
        """The index of a new constant, int8 or int32."""
        tensor, buffer = _tensor(name, values.shape, _TYPES[values.dtype.name]), schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer, tensor.quantization = len(self.model.buffers) - 1, quantization
        return self.add(tensor)

    def values(self, index: int, dtype: type[np.generic]) -> np.ndarray | None:
        """The numbers of a constant, flat; None for what is computed."""
        data = self.model.buffers[self.graph.tensors[index].buffer].data
        return None if data is None else np.frombuffer(bytes(bytearray(data)), dtype)

    def is_constant(self, index: int) -> bool:
        """Whether a tensor has a value in the file."""
        return self.model.buffers[self.graph.tensors[index].buffer].data is not None

    def drop_unused(self) -> None:
        """Without the tensors, buffers and op codes that nothing names any more."""
        model, graph = self.model, self.graph
        used = {int(t) for op in graph.operators for t in (*op.inputs, *op.outputs) if t >= 0}
        used |= {int(t) for t in (*graph.inputs, *graph.outputs)}
        place = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}
        graph.tensors = [graph.tensors[old] for old in sorted(used)]
        for op in graph.operators:
            op.inputs = [place[int(t)] for t in op.inputs]
            op.outputs = [place[int(t)] for t in op.outputs]
        graph.inputs = [place[int(t)] for t in graph.inputs]
        graph.outputs = [place[int(t)] for t in graph.outputs]
        for signature in model.signatureDefs or []:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = place[entry.tensorIndex]
        self.drop_unused_buffers()
        codes = sorted({op.opcodeIndex for op in graph.operators})
        model.operatorCodes = [model.operatorCodes[old] for old in codes]
        self._kinds = [self._kinds[old] for old in codes]
        for op in graph.operators:
            op.opcodeIndex = codes.index(op.opcodeIndex)

    def drop_unused_buffers(self) -> None:
        """Without the buffers that nothing names, but for the first one, which is empty by the
        schema's rule."""
        naming = [*self.graph.tensors, *(self.model.metadata or [])]
        used = sorted({0} | {one.buffer for one in naming})
        place = {old: new for new, old in enumerate(used)}
        self.model.buffers = [self.model.buffers[old] for old in used]
        for one in naming:
            one.buffer = place[one.buffer]


def _tensor(name: str, shape: Sequence[int], kind: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type = name, kind
    tensor.shape, tensor.hasRank = np.asarray(shape, np.int32), True
    return tensor


def of_scale(scale: np.floating) -> Any:
    """The quantization of a tensor whose numbers are multiples of one scale, zero at zero."""
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.array([scale], np.float32)
    quantization.zeroPoint = np.array([0], np.int64)
    return quantization
