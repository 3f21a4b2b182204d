"""What Google's compiler put into an ``edgetpu-custom-op``: programs, parameters, versions.

The op carries a package: a flatbuffer (identifier ``DWN1``, schema ``executable.fbs`` of Google's
libedgetpu) whose executables are flatbuffers again. Only a few fields of it are read here. As with
the model around it, nothing in it is trusted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from flatbuffers import number_types
from flatbuffers.table import Table

CUSTOM_OP = "edgetpu-custom-op"
_IDENTIFIER = b"DWN1"
_MOST = 64  # executables of one package; a real one has one or two

# Fields by their place in the schema.
_PACKAGE_RUNTIME, _PACKAGE_EXECUTABLES, _PACKAGE_COMPILER = 0, 1, 4
_MULTI_EXECUTABLES = 0
_EXECUTABLE_PARAMETERS, _EXECUTABLE_TYPE = 6, 13
_CACHING = 1  # type of the executable that loads parameters which then stay on the chip


@dataclass(frozen=True)
class Program:
    """One compiled subgraph. Sizes in bytes."""

    min_runtime: int  # of the Edge TPU runtime, as in ``edgetpu_compiler -m``
    compiler: str
    cached: int  # parameters that are loaded once and stay in the chip's memory
    streamed: int  # parameters that go over the bus in every inference


class Broken(ValueError):
    """No package, or one that does not hold together."""


def read(custom_options: bytes) -> Program:
    """The program in the options of an ``edgetpu-custom-op``. Broken when there is none."""
    at = custom_options.find(_IDENTIFIER) - 4
    if at < 0:
        raise Broken("no program in it")
    try:
        # The package lies in a flexbuffer and knows its own length; what follows does no harm.
        return _program(_root(custom_options[at:]))
    # What the flatbuffer accessors raise on an offset that points nowhere.
    except (struct.error, TypeError, IndexError, OverflowError) as error:
        raise Broken(f"points beyond its end: {error}") from error


def _program(package: Table) -> Program:
    cached = streamed = 0
    executables = _root(_content(package, _PACKAGE_EXECUTABLES))
    offset = executables.Offset(4 + 2 * _MULTI_EXECUTABLES)
    count = executables.VectorLen(offset) if offset else 0
    if count > _MOST:
        raise Broken(f"{count} executables")
    for number in range(count):
        place = executables.Vector(offset) + 4 * number
        executable = _root(_bytes_at(executables, executables.Indirect(place)))
        size = len(_content(executable, _EXECUTABLE_PARAMETERS))
        kind = executable.GetSlot(4 + 2 * _EXECUTABLE_TYPE, 0, number_types.Int16Flags)
        if kind == _CACHING:
            cached += size
        else:
            streamed += size
    runtime = package.GetSlot(4 + 2 * _PACKAGE_RUNTIME, 0, number_types.Int32Flags)
    compiler = _content(package, _PACKAGE_COMPILER).decode("utf-8", "replace")
    return Program(runtime, compiler, cached, streamed)


def _root(data: bytes) -> Table:
    return Table(data, struct.unpack_from("<I", data)[0])


def _content(table: Table, field: int) -> bytes:
    """A string, or a vector of bytes."""
    offset = table.Offset(4 + 2 * field)
    return _bytes_at(table, table.Indirect(table.Pos + offset)) if offset else b""


def _bytes_at(table: Table, at: int) -> bytes:
    """The bytes behind a length; a length beyond the data is noticed."""
    start, length = at + 4, table.Get(number_types.UOffsetTFlags, at)
    if not 0 <= start <= start + length <= len(table.Bytes):
        raise Broken(f"{length} bytes at {start} of {len(table.Bytes)}")
    content: bytes = table.Bytes[start : start + length]
    return content
