"""TFLite metadata: what a model is for, embedded in its file, with the files that belong to it.

The metadata is a flatbuffer of its own (identifier ``M001``) in a buffer of the model that the
entry ``TFLITE_METADATA`` names; associated files such as labels are a zip behind the model.
Source: ``metadata_schema.fbs`` of TensorFlow Lite Support 0.4.4 and "TensorFlow Lite metadata" in
LiteRT's documentation. Here metadata is plain data: a dict with the schema's field names; what is
empty is left out.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

from tfedge.errors import ArtifactError
from tfedge.files import zips
from tfedge.files.budget import METADATA, MODEL
from tfedge.files.files import shown
from tfedge.tflite import reader
from tfedge.tflite.front import BUFFERS, Front
from tfedge.tflite.front import METADATA as ENTRIES
from tfedge.tflite.metadata_schema import ROOT, TABLES, Field
from tfedge.tflite.pack import constant

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip can't say "no date"
_SCALARS = {
    "bool": number_types.BoolFlags,
    "byte": number_types.Int8Flags,
    "uint": number_types.Uint32Flags,
    "int": number_types.Int32Flags,
    "float": number_types.Float32Flags,
}


def embed(model: bytes, metadata: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The model with ``metadata`` in it and ``files`` behind it, in place of those it carried.

    The model's own bytes are kept as they are and in order: a new root is put in front of them, so
    that kernels keep their alignment and a runtime computes the same. Deterministic. ArtifactError
    when the model is no sound .tflite or keeps its kernels behind the flatbuffer (above 2 GB).
    """
    reader.read(model)
    result = _with_entry(without_files(model), write(metadata))
    if not files:
        return result
    archive = io.BytesIO()
    archive.write(result)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as out:  # readers map them: no deflate
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            out.writestr(entry, files[name])
    return archive.getvalue()


def read(model: bytes, path: Path | str = "<bytes>") -> dict[str, Any] | None:
    """The metadata that a model carries, None without any. ArtifactError when it is not sound."""
    content = reader.read(model).metadata.get(ENTRY)
    return None if content is None else unpacked(content, path)


def unpacked(
    content: bytes, path: Path | str, root: str = ROOT, identifier: bytes = IDENTIFIER
) -> dict[str, Any]:
    """What ``write`` has made. ArtifactError when it is not sound."""
    if len(content) < 8 or content[4:8] != identifier:
        what = f"its metadata is no TFLite metadata: {content[4:8]!r}, not {identifier.decode()}"
        raise ArtifactError(path, what)
    try:
        return _Reader(content, path).table(root, struct.unpack_from("<I", content)[0])
    # What the flatbuffer accessors raise on an offset that points nowhere.
    except (struct.error, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ArtifactError(path, f"its metadata is broken: {error}") from error


def associated(model: bytes, path: Path | str = "<bytes>") -> dict[str, bytes]:
    """The files behind a model by name; empty without any. ArtifactError: they can't be read."""
    if not zips.is_zip(model):
        return {}
    found: dict[str, bytes] = {}
    with _opened(model, path) as archive:
        for entry in archive.infos():
            if entry.compress_type != zipfile.ZIP_STORED:  # readers map them
                raise ArtifactError(path, "the files behind the model must be stored uncompressed")
            if entry.filename in found:
                what = f"{shown(entry.filename)} is twice among the files behind the model"
                raise ArtifactError(path, what)
            found[entry.filename] = b"".join(archive.pieces(entry))
    return found


def associated_names(model: bytes, path: Path | str = "<bytes>") -> list[str]:
    """The names alone; empty without any. ArtifactError: they can't be read."""
    if not zips.is_zip(model):
        return []
    with _opened(model, path) as archive:
        return archive.names


def _opened(model: bytes, path: Path | str) -> AbstractContextManager[zips.Zip]:
    return zips.opened(model, MODEL.budget(f"{path}: the files behind the model", len(model)))


def write(metadata: Mapping[str, Any], root: str = ROOT, identifier: bytes = IDENTIFIER) -> bytes:
    """Metadata as a flatbuffer. KeyError for a field that the schema does not have."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, root, metadata), identifier)
    return bytes(builder.Output())


def _write_table(builder: flatbuffers.Builder, name: str, given: Mapping[str, Any]) -> int:
    fields = {field.name: (slot, field) for slot, field in TABLES[name]}
    unknown = given.keys() - fields.keys()
    if unknown:
        raise KeyError(f"{name} has no field {', '.join(sorted(unknown))}")
    # Children first: a flatbuffer is built from its end.
    made = {key: _write_value(builder, fields[key][1], value) for key, value in given.items()}
    builder.StartObject(max((slot for slot, _ in TABLES[name]), default=-1) + 1)
    for key, value in made.items():
        slot, field = fields[key]
        if field.union:
            kind, offset = value
            builder.PrependUint8Slot(slot - 1, kind, 0)
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        elif field.kind in _SCALARS and not field.many:
            builder.PrependSlot(_SCALARS[field.kind], slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return builder.EndObject()


def _write_value(builder: flatbuffers.Builder, field: Field, value: Any) -> Any:
    if field.union:
        ((name, content),) = value.items()
        return field.union.index(name) + 1, _write_table(builder, name, content)
    if not field.many:
        return _write_one(builder, field.kind, value)
    if field.kind in _SCALARS:
        flags = _SCALARS[field.kind]
        builder.StartVector(flags.bytewidth, len(value), flags.bytewidth)
        for item in reversed(value):
            builder.Prepend(flags, item)
        return builder.EndVector()
    offsets = [_write_one(builder, field.kind, item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _write_one(builder: flatbuffers.Builder, kind: str, value: Any) -> Any:
    if kind == "string":
        return builder.CreateString(value)
    if kind == "bytes":
        return constant(builder, value)  # a flatbuffer of its own, that is read in place
    return value if kind in _SCALARS else _write_table(builder, kind, value)


class _Reader:
    """Reads metadata. Tables and texts may be shared by many lists, and so come out much larger
    than they are stored: what comes out is charged as if it were not shared."""

    def __init__(self, content: bytes, path: Path | str) -> None:
        called = f"{path}: its metadata"
        self._content = content
        self._budget = METADATA.budget(called, len(content))

    def table(self, name: str, position: int) -> dict[str, Any]:
        table = Table(self._content, position)
        self._budget.spend(size=4, entries=1)
        found: dict[str, Any] = {}
        for slot, field in TABLES[name]:
            offset = table.Offset(4 + 2 * slot)
            if offset:
                value = self._field(table, field, slot, position + offset)
                if value is not None:
                    found[field.name] = value
        return found

    def _field(self, table: Table, field: Field, slot: int, position: int) -> Any:
        if field.union:
            typed = table.Offset(4 + 2 * (slot - 1))
            kind = self._content[table.Pos + typed] if typed else 0
            if not 1 <= kind <= len(field.union):
                return None  # of a newer schema
            name = field.union[kind - 1]
            return {name: self.table(name, table.Indirect(position))}
        if not field.many:
            return self._one(table, field.kind, position)
        offset = position - table.Pos
        start, count = table.Vector(offset), table.VectorLen(offset)
        width = _SCALARS[field.kind].bytewidth if field.kind in _SCALARS else 4
        self._budget.spend(size=width * count)
        return [self._one(table, field.kind, start + width * i) for i in range(count)]

    def _one(self, table: Table, kind: str, position: int) -> Any:
        if kind in _SCALARS:
            return table.Get(_SCALARS[kind], position)
        if kind == "string":
            text = table.String(position)
            self._budget.spend(size=len(text))
            return text.decode("utf-8", "replace")
        if kind == "bytes":
            start, count = table.Vector(position - table.Pos), table.VectorLen(position - table.Pos)
            self._budget.spend(size=count)
            return bytes(self._content[start : start + count])
        return self.table(kind, table.Indirect(position))


def without_files(model: bytes, path: Path | str = "<bytes>") -> bytes:
    """The flatbuffer alone, without the files behind it. ArtifactError: they can't be read."""
    if not zips.is_zip(model):
        return model
    with _opened(model, path) as archive:
        ends = min((entry.header_offset for entry in archive.infos()), default=len(model))
    return model[:ends]


def _with_entry(model: bytes, content: bytes) -> bytes:
    """The model behind a new root that lists its buffers and metadata entries, and one of each
    more."""
    front = Front(model)
    builder = front.builder
    buffers = front.listed(front.root, BUFFERS)
    entries = [
        entry
        for entry in front.listed(front.root, ENTRIES)
        if _entry_name(front.old(entry)) != ENTRY.encode()
    ]
    data = constant(builder, content)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, data, 0)
    buffers.append(builder.EndObject())
    name = builder.CreateString(ENTRY)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint32Slot(1, len(buffers) - 1, 0)
    entries.append(builder.EndObject())
    return front.finish({BUFFERS: front.tables(buffers), ENTRIES: front.tables(entries)})


def _entry_name(table: Table) -> bytes:
    offset = table.Offset(4)
    return bytes(table.String(table.Pos + offset)) if offset else b""
