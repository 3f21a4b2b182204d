"""Everything that a .tflite tells about itself, as plain data: schema ``tfedge.inspect/1``."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zipfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfedge.edgetpu import edgetpu
from tfedge.tflite import cost, reader
from tfedge.tflite.model import Graph, Model, Op, Tensor
from tfedge.tflite.versions import latest, minimum_runtime

SCHEMA = "tfedge.inspect/1"
MOST_FILES = 1000  # of a zip behind the model; more are not listed


def inspect(path: str | Path) -> dict[str, Any]:
    """What is in the file. ArtifactError when it can't be read or is not sound."""
    return describe(reader.load(path), path)


def describe(data: bytes, path: str | Path = "<bytes>") -> dict[str, Any]:
    """What is in these bytes; tensors and ops are those of the first graph. Sizes in bytes.

    ``path`` names them. ArtifactError when they are no sound .tflite.
    """
    model = reader.read(data, path)
    graph = model.graphs[0]
    ops = [_op(op, graph) for op in graph.ops]
    kernels = [asdict(kernel) | {"shape": list(kernel.shape)} for kernel in model.kernels()]
    return {
        "schema": SCHEMA,
        "file": Path(path).name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": model.size,
        "description": model.description,
        "graphs": [
            {"name": g.name, "tensors": len(g.tensors), "ops": len(g.ops)} for g in model.graphs
        ],
        "signatures": [
            {
                "key": s.key,
                "graph": s.graph,
                "inputs": {name: model.graphs[s.graph].tensors[i].name for name, i in s.inputs},
                "outputs": {name: model.graphs[s.graph].tensors[i].name for name, i in s.outputs},
            }
            for s in model.signatures
        ],
        "metadata": list(model.metadata),
        "associated_files": _appended(data),
        "minimum_runtime": _runtime(model),
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "op_types": _types(ops),
        "ops": ops,
        "tensors": [_tensor(tensor) for tensor in graph.tensors],
        "dtypes": dict(Counter(tensor.dtype for tensor in graph.tensors).most_common()),
        "float_tensors": len(model.float_tensors()),
        "kernels": kernels,
        "kernel_values": sum(kernel["size"] for kernel in kernels),
        "kernel_zeros": sum(kernel["zeros"] for kernel in kernels),
        "constant_bytes": _constants(model),
        "macs": sum(op["macs"] for op in ops),
        "arena_bytes": cost.arena(graph),
        "edgetpu": _edgetpu(edgetpu.predict(model)),
    }


def _op(op: Op, graph: Graph) -> dict[str, Any]:
    return {
        "index": op.index,
        "op": op.name,
        "version": op.version,
        "custom": op.custom,
        "minimum_runtime": None if op.custom else minimum_runtime(op.name, op.version),
        "macs": cost.macs(op, graph.tensors),
        "inputs": list(op.inputs),
        "outputs": list(op.outputs),
        "options": {name: _plain(value) for name, value in op.options.items()},
    }


def _types(ops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each op and version, in the order of their first use."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for op in ops:
        row = rows.setdefault(
            (op["op"], op["version"]),
            {key: op[key] for key in ("op", "version", "custom", "minimum_runtime")}
            | {"count": 0, "macs": 0},
        )
        row["count"] += 1
        row["macs"] += op["macs"]
    return list(rows.values())


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "index": tensor.index,
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "shape_signature": list(tensor.shape_signature),
        "constant": tensor.is_const,
        "bytes": tensor.bytes,
        "quantization": _quantization(tensor),
    }


def _quantization(tensor: Tensor) -> dict[str, Any] | None:
    """``real = scale * (stored - zero_point)``; a list of each, of one or one per channel."""
    found = tensor.quantization
    if found is None:
        return None
    return {
        "per_channel": found.axis is not None,
        "axis": found.axis,
        "scales": [_plain(scale) for scale in found.scales],
        "zero_points": list(found.zero_points),
    }


def _runtime(model: Model) -> str | None:
    """The first TensorFlow Lite that runs all builtin ops; None when a version is not known."""
    ops = [op for graph in model.graphs for op in graph.ops if not op.custom]
    runtimes = {minimum_runtime(op.name, op.version) for op in ops}
    return None if None in runtimes else latest(runtimes)


def _constants(model: Model) -> int:
    """Bytes of all constants, those that tensors share counted once."""
    tensors = (tensor for graph in model.graphs for tensor in graph.tensors)
    # a buffer is known by where it lies in the file
    buffers = {t.data.__array_interface__["data"]: t.bytes for t in tensors if t.data is not None}
    return sum(buffers.values())


def _appended(data: bytes) -> list[str]:
    """Names of the files in a zip behind the model, such as labels.txt."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()[:MOST_FILES]
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError, EOFError):
        return []  # what looks like a zip and is none


def _edgetpu(mapping: edgetpu.Mapping) -> dict[str, Any]:
    lists = {"notes": list(mapping.notes), "ops": [asdict(op) for op in mapping.ops]}
    return {"mapped": mapping.mapped, "total": mapping.total, **asdict(mapping), **lists}


def _plain(value: Any) -> Any:
    """As JSON can hold it: None for what is not a finite number."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
