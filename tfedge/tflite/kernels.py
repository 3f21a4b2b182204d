"""8-bit ops in the form that LiteRT has a fast kernel for; what they compute stays the same.

XNNPACK runs most of an 8-bit graph. What it lacks costs some nets more than all the rest, measured
with LiteRT 2.3 on x86-64, and is written here in another way:

- RELU and RELU6 that stand alone (behind a sum that others read, too) have no 8-bit kernel there:
  the scalar one of LiteRT itself takes over, and cuts the graph. A MUL by one that has the ReLU
  fused gives the same bytes, and XNNPACK looks them up in a table.
- A depthwise kernel of more than 25 taps (7×7) has none either, and XNNPACK runs a convolution of
  one channel a group instead, far slower than LiteRT's own depthwise kernel. XNNPACK takes
  constant kernels only, so one that comes out of a RESHAPE is left to LiteRT.
- AVERAGE_POOL_2D has none: see ``pools.py``.
- QUANTIZE from uint8 to int8, which makes pixels what the net reads, has none: LiteRT's own runs
  it, on x86 a byte at a time. XNNPACK has both halves of a detour over float32, with the same
  bytes. That takes a float tensor, so it is done where it is asked for.

`tools/int8_table.py` compares what comes out with other converters.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.errors import UnsupportedModel
from tfedge.tflite.editing import Editor, of_scale
from tfedge.tflite.pools import as_convolution
from tfedge.tflite.reader import OP_NAMES

_Builtin, _Type = schema.BuiltinOperator, schema.TensorType
_FUSED = {
    _Builtin.RELU: schema.ActivationFunctionType.RELU,
    _Builtin.RELU6: schema.ActivationFunctionType.RELU6,
}
_MOST_TAPS = 25  # of XNNPACK's depthwise kernels
_ONE = 127  # with the scale 1/127


def with_fast_kernels(content: bytes) -> bytes:
    """An 8-bit .tflite of one subgraph, its ops in the form that LiteRT runs fastest."""
    forms = _Forms(Editor(content))
    graph = forms.editor.graph
    ops = [made for op in graph.operators for made in forms.of(op)]
    if ops == graph.operators:
        return content
    graph.operators = ops
    return forms.editor.content()


def with_constant_kernels(content: bytes) -> bytes:
    """The model with the kernels constants again that ``with_fast_kernels`` sends through RESHAPE.

    For the Edge TPU, which takes constant kernels only. Other files stay as they are.
    """
    editor = Editor(content)
    graph = editor.graph
    reshapes = [op for op in graph.operators if _is_reshaped_kernel(editor, op)]
    if not reshapes:
        return content
    stored = {int(op.outputs[0]): int(op.inputs[0]) for op in reshapes}
    graph.operators = [op for op in graph.operators if op not in reshapes]
    for op in graph.operators:
        op.inputs = [stored.get(index, index) for index in map(int, op.inputs)]
    return editor.content()


def with_float_input(content: bytes) -> bytes:
    """An 8-bit .tflite of one subgraph whose uint8 input becomes int8 by way of float32, DEQUANTIZE
    and QUANTIZE in the place of one QUANTIZE: the same bytes behind them for every pixel.

    UnsupportedModel unless one op reads the only input, and is such a QUANTIZE: of one scale, zero
    points 128 apart.
    """
    editor = Editor(content)
    graph = editor.graph
    given = int(graph.inputs[0])
    readers = [op for op in graph.operators if given in map(int, op.inputs)]
    if len(graph.inputs) != 1 or len(readers) != 1 or not _shifts_pixels(editor, readers[0]):
        found = [OP_NAMES[editor.kind(op)] for op in readers]
        what = "the input is not uint8 that one QUANTIZE makes int8; it is read by"
        raise UnsupportedModel(what, found, "leave quantize.xnnpack_input out")
    (reader,) = readers
    name = f"{editor.name(reader.outputs[0])}/float"
    pixels = editor.computed(name, graph.tensors[given].shape, _Type.FLOAT32)
    reader.inputs = [pixels]
    options = schema.DequantizeOptionsT()
    made = editor.op(_Builtin.DEQUANTIZE, 1, [given], [pixels], options)
    graph.operators.insert(graph.operators.index(reader), made)
    return editor.content()


def with_integer_input(content: bytes) -> bytes:
    """The model with its input as it was before ``with_float_input``. Other files stay as they
    are."""
    editor = Editor(content)
    graph = editor.graph
    given = int(graph.inputs[0])
    first = next((op for op in graph.operators if given in map(int, op.inputs)), None)
    if len(graph.inputs) != 1 or first is None or editor.kind(first) != _Builtin.DEQUANTIZE:
        return content
    readers = [op for op in graph.operators if int(first.outputs[0]) in map(int, op.inputs)]
    if len(readers) != 1 or not _shifts_pixels(editor, readers[0], given):
        return content
    readers[0].inputs = [given]
    graph.operators.remove(first)
    editor.drop_unused()
    return editor.content()


def _shifts_pixels(editor: Editor, op: Any, given: int | None = None) -> bool:
    """Whether an op is a QUANTIZE that takes ``given`` (by default what it reads) from uint8 to
    int8 and does nothing else: the scales are equal, the zero points 128 apart."""
    if editor.kind(op) != _Builtin.QUANTIZE:
        return False
    before = editor.graph.tensors[op.inputs[0] if given is None else given]
    after = editor.graph.tensors[op.outputs[0]]
    if (before.type, after.type) != (_Type.UINT8, _Type.INT8):
        return False
    (scale, zero), (new_scale, new_zero) = (
        (tensor.quantization.scale, tensor.quantization.zeroPoint) for tensor in (before, after)
    )
    return bool(np.array_equal(scale, new_scale) and np.array_equal(zero, new_zero + 128))


def _is_reshaped_kernel(editor: Editor, op: Any) -> bool:
    """Whether an op is a RESHAPE of a constant of 8 bits and four dimensions."""
    if editor.kind(op) != _Builtin.RESHAPE or not editor.is_constant(op.inputs[0]):
        return False
    given = editor.graph.tensors[op.inputs[0]]
    return given.type == _Type.INT8 and len(given.shape) == 4


class _Forms:
    """The forms of a file's ops."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self._one: int | None = None

    def of(self, op: Any) -> list[Any]:
        """The ops to put in the place of one."""
        kind = self.editor.kind(op)
        if kind not in (*_FUSED, _Builtin.DEPTHWISE_CONV_2D, _Builtin.AVERAGE_POOL_2D):
            return [op]
        if self._tensor(op, 0).type != _Type.INT8:
            return [op]
        if kind == _Builtin.AVERAGE_POOL_2D:
            return as_convolution(self.editor, op, _MOST_TAPS)
        if kind in _FUSED:
            return [self._as_product(op, kind)]
        _, rows, columns, _ = self._tensor(op, 1).shape
        if rows * columns <= _MOST_TAPS:
            return [op]
        return [self._reshape(op), op]

    def _tensor(self, op: Any, place: int) -> Any:
        return self.editor.graph.tensors[op.inputs[place]]

    def _as_product(self, op: Any, kind: int) -> Any:
        options = schema.MulOptionsT()
        options.fusedActivationFunction = _FUSED[kind]
        inputs = [int(op.inputs[0]), self._constant_one()]
        return self.editor.op(_Builtin.MUL, 2, inputs, op.outputs, options)

    def _constant_one(self) -> int:
        if self._one is None:
            value = np.array(_ONE, np.int8)
            self._one = self.editor.constant("one", value, of_scale(np.float32(1 / _ONE)))
        return self._one

    def _reshape(self, op: Any) -> Any:
        """What gives a depthwise op its kernel in the shape that it has already."""
        stored, name = int(op.inputs[1]), self.editor.name(op.inputs[1])
        made = copy.copy(self._tensor(op, 1))
        made.name, made.buffer = f"{name}/reshaped", 0
        options = schema.ReshapeOptionsT()
        options.newShape = np.asarray(made.shape, np.int32)
        shape = self.editor.constant(f"{name}/shape", options.newShape)
        added = self.editor.add(made)
        op.inputs = [int(op.inputs[0]), added, *map(int, op.inputs[2:])]
        return self.editor.op(_Builtin.RESHAPE, 1, [stored, shape], [added], options)
