"""Read a .tflite without TensorFlow and without running it: ops, tensors, scales, zeros.

Everything in the file is taken as hostile: offsets, counts and indices are checked, what is listed
is measured against the size of the file (lists may share their bytes, and so seem to be larger than
it), and whatever does not hold ends in one :class:`ArtifactError`. Interpreters trust a file and
crash on a broken one, so a file from elsewhere goes through :func:`read` first.
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
from tfedge.files.budget import MODEL
from tfedge.files.whole import whole
from tfedge.tflite import options, values
from tfedge.tflite.model import Graph, Model, Op, Quantization, Signature, Tensor
from tfedge.tflite.soundness import misformed, unsound
from tfedge.tflite.sparse import Layout, Level

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every .tflite
_MAX_RANK = 16
_MAX_ITEMS = 50_000  # tensors, ops, buffers: far above any real model, read in seconds
_MAX_ELEMENTS = 2**42  # of a tensor: sums of many such sizes still fit into 64 bits
_SCALED = frozenset({"int4", "int8", "uint8", "int16"})
_SCALES = (1e-30, 1e12)  # beyond these interpreters end up with 0 or infinity
_HINT = "convert the model again, or fetch the file again; it may be cut short or no .tflite at all"

OP_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()
}
_NOTHING = np.frombuffer(b"", np.uint8)


class _Broken(Exception):
    """What does not hold in the file; becomes an ArtifactError with its path."""


def check_header(data: bytes, path: Path | str = "<bytes>") -> None:
    """Raise ArtifactError unless the file starts as a .tflite does; reads eight bytes."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        got = repr(bytes(data[4:8])) if len(data) >= 8 else f"{len(data)} bytes"
        raise ArtifactError(path, "not a .tflite file", _HINT, "TFL3 at byte 4", got)


def load(path: str | Path) -> bytes:
    """The bytes of a file. ArtifactError when it can't be read, or does not begin as a .tflite."""
    return whole(Path(path), MODEL.size, lambda start: check_header(start, path))


def read(source: str | Path | bytes, path: str | Path = "<bytes>") -> Model:
    """The model in a file or in bytes. ArtifactError when it can't be read or is not sound.

    ``path`` is what an error calls the bytes.
    """
    if isinstance(source, bytes):
        data = source
    else:
        data, path = load(source), source
    check_header(data, path)
    try:
        return _File(data).model()
    except _Broken as error:
        raise ArtifactError(path, f"broken .tflite: {error}", _HINT) from error
    # What the flatbuffer accessors raise on an offset, a type or a count that points nowhere.
    except (struct.error, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ArtifactError(path, f"broken .tflite: {error}", _HINT) from error


class _File:
    """Reads one file; ``_left`` is how much more may be listed in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = 4 * len(data) + 2**20
        self._buffers: list[np.ndarray] = []
        self._codes: list[tuple[str, int, bool]] = []

    def model(self) -> Model:
        root = schema.Model.GetRootAs(self._data, 0)
        self._codes = [self._op_name(code) for code in self._items(root, "OperatorCodes")]
        self._buffers = [self._buffer(buffer) for buffer in self._items(root, "Buffers")]
        graphs = tuple(self._graph(graph) for graph in self._items(root, "Subgraphs"))
        if not graphs:
            raise _Broken("no subgraph")
        if wrong := unsound(graphs):
            raise _Broken(wrong)
        return Model(
            version=root.Version(),
            description=self._text(root.Description()),
            graphs=graphs,
            size=len(self._data),
            metadata=dict(self._metadata(entry) for entry in self._items(root, "Metadata")),
            signatures=tuple(
                self._signature(table, graphs) for table in self._items(root, "SignatureDefs")
            ),
        )

    # ------------------------------------------------------------------- what everything is made of

    def _count_bytes(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise _Broken(f"lists more than a file of {len(self._data)} bytes can hold")

    def _items(self, table: Any, what: str) -> Iterator[Any]:
        count = getattr(table, f"{what}Length")()
        # Each takes an offset and a table; tensors and ops have a name or lists of their own, too.
        least = 20 if what in ("Tensors", "Operators") else 4
        if count > min(_MAX_ITEMS, len(self._data) // least):
            raise _Broken(f"{count} {what.lower()} in a file of {len(self._data)} bytes")
        self._count_bytes(count)
        get = getattr(table, what)
        return (get(i) for i in range(count))

    def _text(self, raw: bytes | None) -> str:
        self._count_bytes(len(raw or b""))
        return (raw or b"").decode("utf-8", "replace")

    def _array(self, table: Any, what: str) -> np.ndarray:
        found = getattr(table, f"{what}AsNumpy")()
        if isinstance(found, int):
            return _NOTHING
        self._count_bytes(found.size)
        array: np.ndarray = found
        return array

    def _ints(self, table: Any, what: str) -> tuple[int, ...]:
        return tuple(self._array(table, what).tolist())

    def _external_buffer(self, offset: int, size: int) -> np.ndarray:
        """Models above 2 GB keep their buffers behind the flatbuffer."""
        if offset + size > len(self._data):
            raise _Broken(f"a buffer at {offset} of {size} bytes ends after the file")
        return np.frombuffer(self._data, np.uint8, size, offset)

    # ------------------------------------------------------------------------ the parts of a model

    def _op_name(self, code: Any) -> tuple[str, int, bool]:
        # Codes from 127 on stand in a second field; the larger of the two is the true one.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            return self._text(code.CustomCode()) or "CUSTOM", code.Version(), True
        if number not in OP_NAMES:
            raise _Broken(f"unknown operator code {number}")
        return OP_NAMES[number], code.Version(), False

    def _buffer(self, buffer: Any) -> np.ndarray:
        """A view of the buffer's bytes, uint8."""
        if buffer.Offset() > 1:
            return self._external_buffer(buffer.Offset(), buffer.Size())
        found: np.ndarray = _NOTHING if buffer.DataIsNone() else buffer.DataAsNumpy()
        return found

    def _metadata(self, entry: Any) -> tuple[str, bytes]:
        name = self._text(entry.Name())
        if not 0 <= entry.Buffer() < len(self._buffers):
            raise _Broken(
                f"metadata {name!r} lies in buffer {entry.Buffer()} of {len(self._buffers)}"
            )
        content = self._buffers[entry.Buffer()]
        self._count_bytes(content.size)
        return name, content.tobytes()

    def _signature(self, table: Any, graphs: tuple[Graph, ...]) -> Signature:
        key, graph = self._text(table.SignatureKey()), table.SubgraphIndex()
        if not 0 <= graph < len(graphs):
            raise _Broken(f"signature {key!r} calls subgraph {graph} of {len(graphs)}")
        named = {
            what: tuple(
                (self._text(entry.Name()), entry.TensorIndex())
                for entry in self._items(table, what)
            )
            for what in ("Inputs", "Outputs")
        }
        for entries in named.values():
            count = len(graphs[graph].tensors)
            _check(f"signature {key!r} names", tuple(index for _, index in entries), 0, count)
        return Signature(key, graph, named["Inputs"], named["Outputs"])

    def _graph(self, graph: Any) -> Graph:
        tensors = tuple(
            self._tensor(i, tensor) for i, tensor in enumerate(self._items(graph, "Tensors"))
        )
        inputs, outputs = self._ints(graph, "Inputs"), self._ints(graph, "Outputs")
        ops = tuple(
            self._op(i, op, tensors) for i, op in enumerate(self._items(graph, "Operators"))
        )
        _check("the graph reads", inputs, 0, len(tensors))
        _check("the graph writes", outputs, 0, len(tensors))
        return Graph(self._text(graph.Name()), tensors, ops, inputs, outputs)

    def _op(self, i: int, op: Any, tensors: tuple[Tensor, ...]) -> Op:
        if not 0 <= op.OpcodeIndex() < len(self._codes):
            raise _Broken(f"op {i} has operator code {op.OpcodeIndex()} of {len(self._codes)}")
        name, version, custom = self._codes[op.OpcodeIndex()]
        inputs, outputs = self._ints(op, "Inputs"), self._ints(op, "Outputs")
        # -1 stands for an optional input that is left out.
        _check(f"op {i} {name} keeps", self._ints(op, "Intermediates"), -1, len(tensors))
        _check(f"op {i} {name} reads", inputs, -1, len(tensors))
        _check(f"op {i} {name} writes", outputs, 0, len(tensors))
        given = options.read(op)
        self._count_bytes(sum(len(value) for value in given.values() if isinstance(value, tuple)))
        carried = self._custom_options(op) if custom else None
        found = Op(i, name, version, inputs, outputs, custom, given, carried)
        if wrong := misformed(found, options.tables(op)):
            raise _Broken(f"op {i} {name} {wrong}")
        return found

    def _custom_options(self, op: Any) -> np.ndarray | None:
        if op.LargeCustomOptionsOffset() > 1:
            return self._external_buffer(op.LargeCustomOptionsOffset(), op.LargeCustomOptionsSize())
        return None if op.CustomOptionsIsNone() else self._array(op, "CustomOptions")

    def _tensor(self, index: int, tensor: Any) -> Tensor:
        name = self._text(tensor.Name())
        where = f"tensor {index} {name!r}"
        dtype = values.NAMES.get(tensor.Type())
        if dtype is None:
            raise _Broken(f"{where} has the unknown type {tensor.Type()}")
        if max(tensor.ShapeLength(), tensor.ShapeSignatureLength()) > _MAX_RANK:
            raise _Broken(f"{where} has {tensor.ShapeLength()} dimensions")
        shape = self._ints(tensor, "Shape")
        if any(side < 0 for side in shape) or math.prod(shape) > _MAX_ELEMENTS:
            raise _Broken(f"{where} has the shape {shape}")
        if not 0 <= tensor.Buffer() < max(len(self._buffers), 1):
            raise _Broken(f"{where} lies in buffer {tensor.Buffer()} of {len(self._buffers)}")
        # Buffer 0 is empty by convention: what is computed points there.
        data = self._buffers[tensor.Buffer()] if self._buffers else _NOTHING
        self._count_bytes(data.size)
        sparse = tensor.Sparsity() is not None
        bits = values.storage_bits(dtype)
        needed = math.ceil(math.prod(shape) * bits / 8) if bits else None
        # What is stored without its zeros takes less; whole bytes or words all the same.
        wrong = (
            data.size > (needed or 0) or 8 * data.size % (bits or 8)
            if sparse
            else (data.size != needed)
        )
        if data.size and needed is not None and wrong:
            raise _Broken(f"{where} {dtype} {list(shape)} needs {needed} bytes and has {data.size}")
        quantization = tensor.Quantization()
        return Tensor(
            index=index,
            name=name,
            dtype=dtype,
            shape=shape,
            shape_signature=self._ints(tensor, "ShapeSignature") or shape,
            quantization=quantization and self._quantization(quantization, dtype, shape, where),
            is_const=data.size > 0,
            bytes=int(data.size),
            data=data if data.size else None,
            sparse=sparse,
            layout=self._layout(tensor.Sparsity()) if sparse else None,
            is_variable=bool(tensor.IsVariable()),
        )

    def _layout(self, table: Any) -> Layout:
        levels = tuple(self._level(level) for level in self._items(table, "DimMetadata"))
        return Layout(self._ints(table, "TraversalOrder"), self._ints(table, "BlockMap"), levels)

    def _level(self, table: Any) -> Level:
        if table.Format() == schema.DimensionType.DENSE:
            return Level(table.DenseSize())
        return Level(
            0,
            self._indices(table.ArraySegmentsType(), table.ArraySegments()),
            self._indices(table.ArrayIndicesType(), table.ArrayIndices()),
        )

    def _indices(self, kind: int, table: Any) -> np.ndarray:
        """One of the schema's vectors of indices, int32 or narrower."""
        names = {code: name for name, code in vars(schema.SparseIndexVector).items()}
        if table is None or names.get(kind, "NONE") in ("NONE", "__module__"):
            return _NOTHING
        vector = getattr(schema, names[kind])()
        vector.Init(table.Bytes, table.Pos)
        return self._array(vector, "Values")

    def _quantization(
        self, table: Any, dtype: str, shape: tuple[int, ...], where: str
    ) -> Quantization | None:
        if table.ScaleLength() == 0:
            return None  # only a recorded range, as in a float model
        scales = tuple(map(float, self._array(table, "Scale").tolist()))
        points = self._ints(table, "ZeroPoint") or (0,) * len(scales)
        # Biases have one dimension, whatever older converters wrote.
        axis = 0 if shape == (len(scales),) else table.QuantizedDimension()
        # A channel of a kernel in which nothing is left may have the scale 0.
        lowest = 0.0 if len(scales) > 1 else _SCALES[0]
        for scale in scales:
            if not lowest <= scale <= _SCALES[1] and dtype in _SCALED:
                raise _Broken(f"{where} has the scale {scale}")
        if len(points) != len(scales):
            raise _Broken(f"{where} has {len(scales)} scales and {len(points)} zero points")
        lowest, highest = values.limits(dtype)
        if any(not lowest <= point <= highest for point in points):
            raise _Broken(f"{where} {dtype} has the zero point {max(points, key=abs)}")
        if len(scales) == 1:
            return Quantization(scales, points, None)
        if not 0 <= axis < len(shape) or shape[axis] != len(scales):
            raise _Broken(f"{where} {list(shape)} has {len(scales)} scales on axis {axis}")
        return Quantization(scales, points, axis)


def _check(what: str, indices: tuple[int, ...], lowest: int, count: int) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise _Broken(f"{what} tensor {index} of {count}")
