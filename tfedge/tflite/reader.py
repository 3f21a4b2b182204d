"""Read a .tflite without TensorFlow and without running it: ops, tensors, scales, zeros.

Everything in the file is taken as hostile: offsets, counts and indices are checked, and whatever
does not hold ends in one :class:`ArtifactError`. Interpreters trust a file and crash on a broken
one, so a file from elsewhere goes through :func:`read` first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.errors import ArtifactError
from tfedge.tflite import values
from tfedge.tflite.model import Graph, Model, Op, Quantization, Tensor

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every .tflite
_MAX_RANK = 16
_MAX_ITEMS = 1_000_000  # tensors, ops, buffers: far above any real model, far below memory's end
_HINT = "convert the model again, or fetch the file again; it may be cut short or no .tflite at all"

_OP_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()
}


class _Broken(Exception):
    """What does not hold in the file; becomes an ArtifactError with its path."""


def check_header(data: bytes, path: Path | str = "<bytes>") -> None:
    """Raise ArtifactError unless the file starts as a .tflite does; reads eight bytes."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        got = repr(bytes(data[4:8])) if len(data) >= 8 else f"{len(data)} bytes"
        raise ArtifactError(path, "not a .tflite file", _HINT, "TFL3 at byte 4", got)


def read(source: str | Path | bytes) -> Model:
    """The model in a file or in bytes. ArtifactError when it can't be read or is not sound."""
    if isinstance(source, bytes):
        data, path = source, Path("<bytes>")
    else:
        path = Path(source)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError(path, f"can't be read: {error.strerror}") from error
    check_header(data, path)
    try:
        return _model(schema.Model.GetRootAs(data, 0), data)
    except _Broken as error:
        raise ArtifactError(path, f"broken .tflite: {error}", _HINT) from error
    # What the flatbuffer accessors raise on an offset, a type or a count that points nowhere.
    except (struct.error, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ArtifactError(path, f"broken .tflite: {error}", _HINT) from error


def _model(root: Any, data: bytes) -> Model:
    codes = [_op_name(code) for code in _items(root, "OperatorCodes", data)]
    buffers = [_buffer(buffer, data) for buffer in _items(root, "Buffers", data)]
    graphs = tuple(_graph(g, codes, buffers, data) for g in _items(root, "Subgraphs", data))
    if not graphs:
        raise _Broken("no subgraph")
    return Model(
        version=root.Version(),
        description=_text(root.Description()),
        graphs=graphs,
        size=len(data),
        metadata=tuple(_text(entry.Name()) for entry in _items(root, "Metadata", data)),
    )


def _items(table: Any, what: str, data: bytes) -> Iterator[Any]:
    count = getattr(table, f"{what}Length")()
    # Each item takes at least the four bytes of its offset.
    if count > min(_MAX_ITEMS, len(data) // 4):
        raise _Broken(f"{count} {what.lower()} in a file of {len(data)} bytes")
    get = getattr(table, what)
    return (get(i) for i in range(count))


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _op_name(code: Any) -> tuple[str, int, bool]:
    # Codes from 127 on stand in a second field; the larger of the two is the true one.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return _text(code.CustomCode()) or "CUSTOM", code.Version(), True
    if number not in _OP_NAMES:
        raise _Broken(f"unknown operator code {number}")
    return _OP_NAMES[number], code.Version(), False


def _buffer(buffer: Any, data: bytes) -> np.ndarray:
    """A view of the buffer's bytes, uint8."""
    offset, size = buffer.Offset(), buffer.Size()
    if offset > 1:  # models above 2 GB keep their buffers behind the flatbuffer
        if offset + size > len(data):
            raise _Broken(f"a buffer at {offset} of {size} bytes ends after the file")
        return np.frombuffer(data, np.uint8, size, offset)
    return np.frombuffer(b"", np.uint8) if buffer.DataIsNone() else buffer.DataAsNumpy()


def _ints(table: Any, what: str) -> tuple[int, ...]:
    values_ = getattr(table, f"{what}AsNumpy")()
    return () if isinstance(values_, int) else tuple(values_.tolist())


def _graph(
    graph: Any, codes: list[tuple[str, int, bool]], buffers: list[np.ndarray], data: bytes
) -> Graph:
    tensors = tuple(
        _tensor(i, tensor, buffers) for i, tensor in enumerate(_items(graph, "Tensors", data))
    )
    inputs, outputs = _ints(graph, "Inputs"), _ints(graph, "Outputs")
    ops = []
    for i, op in enumerate(_items(graph, "Operators", data)):
        if not 0 <= op.OpcodeIndex() < len(codes):
            raise _Broken(f"op {i} has operator code {op.OpcodeIndex()} of {len(codes)}")
        name, version, custom = codes[op.OpcodeIndex()]
        ops.append(Op(i, name, version, _ints(op, "Inputs"), _ints(op, "Outputs"), custom))
        # -1 stands for an optional input that is left out.
        _check(f"op {i} {name} reads", ops[-1].inputs, -1, len(tensors))
        _check(f"op {i} {name} writes", ops[-1].outputs, 0, len(tensors))
    _check("the graph reads", inputs, 0, len(tensors))
    _check("the graph writes", outputs, 0, len(tensors))
    return Graph(_text(graph.Name()), tensors, tuple(ops), inputs, outputs)


def _check(what: str, indices: tuple[int, ...], lowest: int, count: int) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise _Broken(f"{what} tensor {index} of {count}")


def _tensor(index: int, tensor: Any, buffers: list[np.ndarray]) -> Tensor:
    name = _text(tensor.Name())
    where = f"tensor {index} {name!r}"
    dtype = values.NAMES.get(tensor.Type())
    if dtype is None:
        raise _Broken(f"{where} has the unknown type {tensor.Type()}")
    if max(tensor.ShapeLength(), tensor.ShapeSignatureLength()) > _MAX_RANK:
        raise _Broken(f"{where} has {tensor.ShapeLength()} dimensions")
    shape = _ints(tensor, "Shape")
    if any(side < 0 for side in shape):
        raise _Broken(f"{where} has the shape {shape}")
    if not 0 <= tensor.Buffer() < max(len(buffers), 1):
        raise _Broken(f"{where} lies in buffer {tensor.Buffer()} of {len(buffers)}")
    # Buffer 0 is empty by convention: what is computed points there.
    data = buffers[tensor.Buffer()] if buffers else np.frombuffer(b"", np.uint8)
    sparse = tensor.Sparsity() is not None
    bits = values.storage_bits(dtype)
    needed = math.ceil(math.prod(shape) * bits / 8) if bits else None
    if data.size and needed is not None and data.size != needed and not sparse:
        raise _Broken(f"{where} {dtype} {list(shape)} needs {needed} bytes and has {data.size}")
    quantization = tensor.Quantization()
    return Tensor(
        index=index,
        name=name,
        dtype=dtype,
        shape=shape,
        shape_signature=_ints(tensor, "ShapeSignature") or shape,
        quantization=None if quantization is None else _quantization(quantization, shape, where),
        is_const=data.size > 0,
        bytes=int(data.size),
        data=data if data.size else None,
        sparse=sparse,
    )


def _quantization(table: Any, shape: tuple[int, ...], where: str) -> Quantization | None:
    if table.ScaleLength() == 0:
        return None  # only a recorded range, as in a float model
    scales = tuple(float(s) for s in table.ScaleAsNumpy())
    points = _ints(table, "ZeroPoint") or (0,) * len(scales)
    axis = table.QuantizedDimension()
    if len(points) != len(scales):
        raise _Broken(f"{where} has {len(scales)} scales and {len(points)} zero points")
    if len(scales) == 1:
        return Quantization(scales, points, None)
    if not 0 <= axis < len(shape) or shape[axis] != len(scales):
        raise _Broken(f"{where} {list(shape)} has {len(scales)} scales on axis {axis}")
    return Quantization(scales, points, axis)
