"""Everything that a .tflite tells about itself. Sizes in bytes."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfedge.edgetpu import edgetpu
from tfedge.errors import ArtifactError
from tfedge.tflite import cost, metadata, reader
from tfedge.tflite.model import Graph, Kernel, Model, Op, Tensor
from tfedge.tflite.versions import latest, minimum_runtime

SCHEMA = "tfedge.inspect/1"
MOST_FILES = 1000  # of a zip behind the model; more are not listed


@dataclass(frozen=True)
class GraphFacts:
    """One of the model's subgraphs."""

    name: str
    tensors: int
    ops: int


@dataclass(frozen=True)
class SignatureFacts:
    """A way to call the model: its own names of inputs and outputs, and those of the tensors."""

    key: str
    graph: int
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class QuantizationFacts:
    """``real = scale * (stored - zero_point)``; one of each, or one per channel of ``axis``.

    A scale that is no finite number is None.
    """

    per_channel: bool
    axis: int | None
    scales: tuple[float | None, ...]
    zero_points: tuple[int, ...]


@dataclass(frozen=True)
class TensorFacts:
    """A tensor. ``shape_signature`` has -1 where a size is open; ``bytes`` is what a constant takes
    in the file, 0 for what is computed."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    constant: bool
    bytes: int
    quantization: QuantizationFacts | None


@dataclass(frozen=True)
class OpTypeFacts:
    """All ops of one kind and version. ``minimum_runtime``: the first TensorFlow Lite that has it;
    None for a custom op and for a version that is not known."""

    op: str
    version: int
    custom: bool
    minimum_runtime: str | None
    count: int
    macs: int  # multiply-accumulates of one inference


@dataclass(frozen=True)
class OpFacts:
    """An op. ``inputs`` and ``outputs`` are indices of tensors; -1 is an optional one left out."""

    index: int
    op: str
    version: int
    custom: bool
    minimum_runtime: str | None
    macs: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Inspection:
    """What a .tflite tells about itself. ``ops`` and ``tensors`` are those of the first graph."""

    file: str  # its name, without the folder
    sha256: str
    bytes: int
    description: str
    graphs: tuple[GraphFacts, ...]
    signatures: tuple[SignatureFacts, ...]
    metadata: tuple[str, ...]  # names of its entries
    associated_files: tuple[str, ...]  # in a zip behind the model, such as labels
    minimum_runtime: str | None  # TensorFlow Lite; None when the version of an op is not known
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    op_types: tuple[OpTypeFacts, ...]  # in the order of their first use
    ops: tuple[OpFacts, ...]
    tensors: tuple[TensorFacts, ...]
    dtypes: dict[str, int]  # how many tensors, by dtype, the most frequent first
    float_tensors: int
    kernels: tuple[Kernel, ...]
    kernel_values: int
    kernel_zeros: int
    constant_bytes: int  # of all constants; those that tensors share are counted once
    macs: int  # multiply-accumulates of one inference
    arena_bytes: int | None  # of activations, estimated; None: too many tensors to plan
    edgetpu: edgetpu.Mapping

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON: schema ``tfedge.inspect/1``."""
        found = {name: _json(value) for name, value in asdict(self).items()}
        found["edgetpu"] |= {"mapped": self.edgetpu.mapped, "total": self.edgetpu.total}
        return {"schema": SCHEMA, **found}


def inspect(path: str | Path) -> Inspection:
    """What is in the file. ArtifactError when it can't be read or is not sound."""
    return describe(reader.load(path), path)


def describe(data: bytes, path: str | Path = "<bytes>") -> Inspection:
    """What is in these bytes. ``path`` names them. ArtifactError when they are no sound .tflite."""
    model = reader.read(data, path)
    graph = model.graphs[0]
    ops = tuple(_op(op, graph) for op in graph.ops)
    kernels = tuple(model.kernels())
    return Inspection(
        file=Path(path).name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=model.size,
        description=model.description,
        graphs=tuple(GraphFacts(g.name, len(g.tensors), len(g.ops)) for g in model.graphs),
        signatures=tuple(
            SignatureFacts(
                s.key,
                s.graph,
                {name: model.graphs[s.graph].tensors[i].name for name, i in s.inputs},
                {name: model.graphs[s.graph].tensors[i].name for name, i in s.outputs},
            )
            for s in model.signatures
        ),
        metadata=tuple(model.metadata),
        associated_files=tuple(_appended(data)),
        minimum_runtime=_runtime(model),
        inputs=tuple(_tensor(tensor) for tensor in model.inputs),
        outputs=tuple(_tensor(tensor) for tensor in model.outputs),
        op_types=_types(ops),
        ops=ops,
        tensors=tuple(_tensor(tensor) for tensor in graph.tensors),
        dtypes=dict(Counter(tensor.dtype for tensor in graph.tensors).most_common()),
        float_tensors=len(model.float_tensors()),
        kernels=kernels,
        kernel_values=sum(kernel.size for kernel in kernels),
        kernel_zeros=sum(kernel.zeros for kernel in kernels),
        constant_bytes=_constants(model),
        macs=sum(op.macs for op in ops),
        arena_bytes=cost.arena(graph),
        edgetpu=edgetpu.predict(model),
    )


def _op(op: Op, graph: Graph) -> OpFacts:
    return OpFacts(
        index=op.index,
        op=op.name,
        version=op.version,
        custom=op.custom,
        minimum_runtime=None if op.custom else minimum_runtime(op.name, op.version),
        macs=cost.macs(op, graph.tensors),
        inputs=tuple(op.inputs),
        outputs=tuple(op.outputs),
        options={name: _finite(value) for name, value in op.options.items()},
    )


def _types(ops: Sequence[OpFacts]) -> tuple[OpTypeFacts, ...]:
    kinds: dict[tuple[str, int], list[OpFacts]] = {}
    for op in ops:
        kinds.setdefault((op.op, op.version), []).append(op)
    return tuple(
        OpTypeFacts(
            op=first.op,
            version=first.version,
            custom=first.custom,
            minimum_runtime=first.minimum_runtime,
            count=1 + len(others),
            macs=first.macs + sum(op.macs for op in others),
        )
        for first, *others in kinds.values()
    )


def _tensor(tensor: Tensor) -> TensorFacts:
    return TensorFacts(
        index=tensor.index,
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tuple(tensor.shape),
        shape_signature=tuple(tensor.shape_signature),
        constant=tensor.is_const,
        bytes=tensor.bytes,
        quantization=_quantization(tensor),
    )


def _quantization(tensor: Tensor) -> QuantizationFacts | None:
    found = tensor.quantization
    if found is None:
        return None
    return QuantizationFacts(
        per_channel=found.axis is not None,
        axis=found.axis,
        scales=tuple(_finite(scale) for scale in found.scales),
        zero_points=tuple(found.zero_points),
    )


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
    """Names of the files in a zip behind the model, such as labels."""
    try:
        return metadata.associated_names(data)[:MOST_FILES]
    except ArtifactError:
        return []  # what looks like a zip and is none


def _finite(value: Any) -> Any:
    """As JSON can hold it: None for what is not a finite number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> Any:
    """Tuples as lists, however deep."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, (list, tuple)) else value
