"""Take the barriers out of a .tflite that was converted with mixed precision.

A barrier is a custom op that gives what it takes. It keeps the converter from inferring precision
across it (see ``mixed.py`` in modeling) and has no place in a file that ships. From 16 to 8 bits
one QUANTIZE is left; from 8 to 16 it takes a DEQUANTIZE before it, since QUANTIZE from int8 to
int16 is unknown to tflite-runtime 2.14.

The converter gives ops with 16-bit activations 32-bit biases when their ranges come from training.
Runtimes want 64 bits there (TFLite's 16x8 specification), as post-training quantization writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.editing import Editor

OP = "DebugIdentity"  # a TensorFlow op without effect that TFLite does not know

_Builtin = schema.BuiltinOperator
# Versions of the ops that have a bias, when it is one of 64 bits or of 8-bit activations.
_BIASED: Mapping[int, int] = {
    _Builtin.CONV_2D: 3,
    _Builtin.DEPTHWISE_CONV_2D: 3,
    _Builtin.FULLY_CONNECTED: 4,
}


def remove(content: bytes) -> bytes:
    """The file without barriers, its 16-bit ops with 64-bit biases; one subgraph."""
    editor = Editor(content)
    model, graph = editor.model, editor.graph
    barriers = {
        index for index, code in enumerate(model.operatorCodes) if code.customCode == OP.encode()
    }
    behind = {
        int(op.outputs[0]): int(op.inputs[0])
        for op in graph.operators
        if op.opcodeIndex in barriers
    }
    ops = [op for op in graph.operators if op.opcodeIndex not in barriers]
    makers = {int(tensor): op for op in ops for tensor in op.outputs}
    for op in ops:
        inputs = [behind.get(int(tensor), int(tensor)) for tensor in op.inputs]
        if editor.kind(op) == _Builtin.QUANTIZE and int(op.inputs[0]) in behind:
            maker = makers.get(inputs[0])
            if maker is not None and editor.kind(maker) == _Builtin.DEQUANTIZE:
                stored = int(maker.inputs[0])
                if graph.tensors[stored].type == schema.TensorType.INT16:
                    inputs = [stored]
        op.inputs = inputs
    graph.outputs = [behind.get(int(tensor), int(tensor)) for tensor in graph.outputs]
    for signature in model.signatureDefs or []:
        for entry in signature.outputs:
            entry.tensorIndex = behind.get(entry.tensorIndex, entry.tensorIndex)
    graph.operators = _read_by_someone(ops, graph.outputs)
    for op in graph.operators:
        kind = editor.kind(op)
        if kind in _BIASED and graph.tensors[op.inputs[0]].type == schema.TensorType.INT16:
            model.operatorCodes[op.opcodeIndex].version = _BIASED[kind]
            _widen_bias(model, graph.tensors[op.inputs[2]] if len(op.inputs) > 2 else None)
    editor.drop_unused()
    return editor.content()


def _read_by_someone(ops: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
    """The ops whose results are needed: DEQUANTIZE before a barrier may be no more."""
    needed = {*outputs}
    kept = []
    for op in reversed(ops):
        if needed & {int(tensor) for tensor in op.outputs}:
            needed |= {int(tensor) for tensor in op.inputs}
            kept.append(op)
    return kept[::-1]


def _widen_bias(model: Any, bias: Any) -> None:
    """A bias of 64 bits from one of 32, its scale as it is."""
    if bias is None or bias.type != schema.TensorType.INT32:
        return
    stored = np.asarray(model.buffers[bias.buffer].data, np.uint8).view("<i4")
    buffer = schema.BufferT()
    buffer.data = stored.astype("<i8").view(np.uint8)
    model.buffers.append(buffer)  # the old one may be shared
    bias.type, bias.buffer = schema.TensorType.INT64, len(model.buffers) - 1
