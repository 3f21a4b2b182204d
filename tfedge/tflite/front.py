"""New tables in front of a model's own bytes, which are kept as they are and in order.

A flatbuffer is built from its end, with offsets that point forward and are relative: the old file
is taken as what was built so far, and all offsets inside it hold. Kernels keep their alignment, so
that a runtime computes the same; and a digest shows that nothing in it was touched.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

from tfedge.errors import ArtifactError, UnsupportedModel
from tfedge.tflite import reader
from tfedge.tflite.model import Model
from tfedge.tflite.pack import ALIGNMENT

# Slots of tables of TFLite's schema.fbs. Of `Model` all but the version are offsets.
VERSION, SUBGRAPHS, BUFFERS, METADATA, SIGNATURES = 0, 2, 4, 6, 7
_TENSORS, _INPUTS, _DEBUG = 0, 1, 5  # of `SubGraph`
_SHAPE, _TYPE, _NAME, _HAS_RANK = 0, 1, 3, 8  # of `Tensor`
_GIVEN, _OF_GRAPH = 0, 4  # of `SignatureDef`


class Scalar(NamedTuple):
    """A field that is a number."""

    flags: Any
    default: int = 0


class Front:
    """A model whose bytes stay, and what is built in front of them. An old table is named by what
    the builder calls its offset: its distance from the end."""

    def __init__(self, model: bytes) -> None:
        self._model = padded(model)
        self.builder = flatbuffers.Builder(len(self._model) + 65536)
        self.builder.Prep(ALIGNMENT, 0)
        self.builder.head -= len(self._model)
        start = self.builder.head
        self.builder.Bytes[start : start + len(self._model)] = self._model

    @property
    def root(self) -> Table:
        return Table(self._model, struct.unpack_from("<I", self._model)[0])

    def old(self, offset: int) -> Table:
        return Table(self._model, len(self._model) - offset)

    def listed(self, table: Table, slot: int) -> list[int]:
        """The tables that a vector of an old table lists."""
        offset = table.Offset(4 + 2 * slot)
        if not offset:
            return []
        start = table.Vector(offset)
        places = [table.Indirect(start + 4 * i) for i in range(table.VectorLen(offset))]
        return [len(self._model) - place for place in places]

    def numbers(self, table: Table, slot: int) -> list[int]:
        """The 32-bit numbers of an old table's vector."""
        offset = table.Offset(4 + 2 * slot)
        if not offset:
            return []
        start = table.Vector(offset)
        return [
            int(table.Get(number_types.Int32Flags, start + 4 * i))
            for i in range(table.VectorLen(offset))
        ]

    def tables(self, offsets: Sequence[int]) -> int:
        """A new vector of tables, old and new."""
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def ints(self, numbers: Sequence[int]) -> int:
        """A new vector of 32-bit numbers."""
        self.builder.StartVector(4, len(numbers), 4)
        for number in reversed(numbers):
            self.builder.PrependInt32(number)
        return int(self.builder.EndVector())

    def changed(self, old: Table, made: Mapping[int, int], scalars: Mapping[int, Scalar]) -> int:
        """A new table with the fields of an old one, those in ``made`` in place of its own. Its
        fields are offsets, but for ``scalars``."""
        fields, numbers = dict(made), {}
        for slot in range(_slots(old)):
            at = old.Offset(4 + 2 * slot)
            if slot in scalars:
                found = old.Get(scalars[slot].flags, old.Pos + at) if at else None
                numbers[slot] = scalars[slot].default if found is None else found
            elif slot not in fields and at:
                fields[slot] = len(self._model) - old.Indirect(old.Pos + at)
        self.builder.StartObject(max([*fields, *numbers]) + 1)
        for slot, offset in fields.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in numbers.items():
            self.builder.PrependSlot(scalars[slot].flags, slot, number, scalars[slot].default)
        return int(self.builder.EndObject())

    def finish(self, made: Mapping[int, int]) -> bytes:
        """The file with a new root, whose ``made`` fields are in place of the old one's."""
        scalars = {VERSION: Scalar(number_types.Uint32Flags)}
        self.builder.Finish(self.changed(self.root, made, scalars), reader.IDENTIFIER)
        return bytes(self.builder.Output())


def padded(model: bytes) -> bytes:
    """A model's bytes as they lie behind what is built in front of them."""
    return model + bytes(-len(model) % ALIGNMENT)


def _slots(table: Table) -> int:
    """How many fields the table's vtable has room for."""
    vtable = table.Pos - table.Get(number_types.SOffsetTFlags, table.Pos)
    return (int(table.Get(number_types.VOffsetTFlags, vtable)) - 4) // 2


def with_unread_input(model: bytes, name: str) -> bytes:
    """The model, its bytes as they are, with one input more that no op reads: of the type and the
    shape of its first one, the last of its graph and of its signature, where it is called ``name``.

    ArtifactError when it can't be read, UnsupportedModel unless it has one graph, with a signature
    and inputs.
    """
    found = reader.read(model)
    if len(found.graphs) != 1 or len(found.signatures) != 1 or not found.inputs:
        what = f"{len(found.graphs)} graphs, {len(found.signatures)} signatures"
        raise UnsupportedModel(
            "an input can be added to one graph with one signature", [what], "convert it again"
        )
    (signature,), like = found.signatures, found.inputs[0]
    called = next((key for key, index in signature.inputs if index == like.index), like.name)
    index = len(found.tensors)
    front = Front(model)
    (graph,) = map(front.old, front.listed(front.root, SUBGRAPHS))
    (old_signature,) = map(front.old, front.listed(front.root, SIGNATURES))
    tensors = front.listed(graph, _TENSORS)
    tensor = _tensor(front, front.old(tensors[like.index]), like.name.replace(called, name, 1))
    made_graph = front.changed(
        graph,
        {
            _TENSORS: front.tables([*tensors, tensor]),
            _INPUTS: front.ints([*front.numbers(graph, _INPUTS), index]),
        },
        {_DEBUG: Scalar(number_types.Int32Flags, -1)},
    )
    entries = [*front.listed(old_signature, _GIVEN), _entry(front, name, index)]
    made_signature = front.changed(
        old_signature,
        {_GIVEN: front.tables(entries)},
        {_OF_GRAPH: Scalar(number_types.Uint32Flags)},
    )
    made = {SUBGRAPHS: front.tables([made_graph]), SIGNATURES: front.tables([made_signature])}
    return front.finish(made)


def _tensor(front: Front, like: Table, name: str) -> int:
    """A tensor that is computed, of another one's shape and type; buffer 0 is the empty one."""
    shape, called = front.ints(front.numbers(like, _SHAPE)), front.builder.CreateString(name)
    at = like.Offset(4 + 2 * _TYPE)
    kind = like.Get(number_types.Int8Flags, like.Pos + at) if at else 0
    front.builder.StartObject(_HAS_RANK + 1)
    front.builder.PrependUOffsetTRelativeSlot(_SHAPE, shape, 0)
    front.builder.PrependUOffsetTRelativeSlot(_NAME, called, 0)
    front.builder.PrependInt8Slot(_TYPE, kind, 0)
    front.builder.PrependBoolSlot(_HAS_RANK, True, False)
    return int(front.builder.EndObject())


def _entry(front: Front, name: str, index: int) -> int:
    """A `TensorMap`."""
    called = front.builder.CreateString(name)
    front.builder.StartObject(2)
    front.builder.PrependUOffsetTRelativeSlot(0, called, 0)
    front.builder.PrependUint32Slot(1, index, 0)
    return int(front.builder.EndObject())


def inner(file: bytes, size: int) -> bytes:
    """The ``size`` bytes of the model that lies at the end of a file, behind what was built in
    front of it. ArtifactError when the file is smaller."""
    start = len(file) - size - -size % ALIGNMENT
    if size < 1 or start < 0:
        raise ArtifactError("<bytes>", f"has no model of {size} bytes in it")
    return file[start : start + size]


def differences(measured: Model, shipped: Model, added: Sequence[str] = ()) -> list[str]:
    """How what a file computes differs from what another one does, beside inputs that no op reads
    and whose tensors are called ``added``: in its ops, tensors, constants, inputs, outputs."""
    problems = []
    if len(shipped.graphs) != 1 or shipped.ops != measured.ops:
        problems.append("its ops are others")
    if shipped.tensors[: len(measured.tensors)] != measured.tensors:
        problems.append("its tensors are others")
    elif any(
        _content(one) != _content(other)
        for one, other in zip(measured.tensors, shipped.tensors, strict=False)
    ):
        problems.append("its constants are others")
    inputs, outputs = (list(shipped.graphs[0].inputs), list(shipped.graphs[0].outputs))
    count = len(measured.tensors)
    more = [tensor.name for tensor in shipped.tensors[count:]]
    wanted = [*measured.graphs[0].inputs, *range(count, count + len(added))]
    if inputs != wanted or more != [*added]:
        beside = " and ".join(["those of the measured file", *added])
        problems.append(f"its inputs are not {beside}")
    if outputs != list(measured.graphs[0].outputs):
        problems.append("its outputs are others")
    return problems


def _content(tensor: Any) -> bytes | None:
    return None if tensor.data is None else tensor.data.tobytes()
