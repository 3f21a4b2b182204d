"""What Google's compiler put into an ``edgetpu-custom-op``: programs, parameters, versions.

The op carries a package: a flatbuffer (identifier ``DWN1``, schema ``executable.fbs`` of Google's
libedgetpu) whose executables are flatbuffers again. Only a few fields of it are read here. As with
the model around it, nothing in it is trusted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

CUSTOM_OP = "edgetpu-custom-op"
_IDENTIFIER = b"DWN1"
_MOST = 64  # executables of one package; a real one has one or two

# Fields by their place in the schema.
_PACKAGE_RUNTIME, _PACKAGE_EXECUTABLES, _PACKAGE_COMPILER = 0, 1, 4
_MULTI_EXECUTABLES = 0
_EXECUTABLE_PARAMETERS, _EXECUTABLE_NARROW, _EXECUTABLE_TYPE = 6, 12, 13
_CACHING = 1  # type of the executable that loads parameters which then stay on the chip


@dataclass(frozen=True)
class Program:
    """One compiled subgraph. Sizes in bytes."""

    min_runtime: int  # of the Edge TPU runtime, as in ``edgetpu_compiler -m``
    compiler: str
    cached: int  # parameters that are loaded once and stay in the chip's memory
    streamed: int  # parameters that go over the bus in every inference
    narrow_per_tile: int  # memory for activations that is used in each of the chip's tiles


class Broken(ValueError):
    """No package, or one that does not hold together."""


class _Table:
    """A flatbuffer table in ``data``; every offset is checked before it is followed."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._fields = at - self._get("<i", at)
        self._length = self._get("<H", self._fields)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        if len(data) < 8:
            raise Broken("cut short")
        return cls(data, struct.unpack_from("<I", data)[0])

    def _get(self, form: str, at: int) -> int:
        if not 0 <= at <= len(self._data) - struct.calcsize(form):
            raise Broken(f"points to byte {at} of {len(self._data)}")
        value: int = struct.unpack_from(form, self._data, at)[0]
        return value

    def _place(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot + 2 > self._length:
            return None
        offset = self._get("<H", self._fields + slot)
        return self._at + offset if offset else None

    def number(self, field: int, form: str = "<i") -> int:
        place = self._place(field)
        return 0 if place is None else self._get(form, place)

    def _vector(self, field: int) -> tuple[int, int]:
        """(first byte, number of items); (0, 0) for none."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + self._get("<I", place)
        return start + 4, self._get("<I", start)

    def raw(self, field: int) -> bytes:
        """A string, or a vector of bytes."""
        start, length = self._vector(field)
        if start + length > len(self._data):
            raise Broken(f"{length} bytes at {start} of {len(self._data)}")
        return self._data[start : start + length]

    def strings(self, field: int) -> list[bytes]:
        start, count = self._vector(field)
        if count > _MOST:
            raise Broken(f"{count} executables")
        found = []
        for place in range(start, start + 4 * count, 4):
            at = place + self._get("<I", place)
            length = self._get("<I", at)
            if at + 4 + length > len(self._data):
                raise Broken(f"{length} bytes at {at + 4} of {len(self._data)}")
            found.append(self._data[at + 4 : at + 4 + length])
        return found


def read(custom_options: bytes) -> Program:
    """The program in the options of an ``edgetpu-custom-op``. Broken when there is none."""
    at = custom_options.find(_IDENTIFIER) - 4
    if at < 0:
        raise Broken("no program in it")
    # The package lies in a flexbuffer and knows its own length; what follows does no harm.
    package = _Table.root(custom_options[at:])
    cached = streamed = narrow = 0
    multi = _Table.root(package.raw(_PACKAGE_EXECUTABLES))
    for serialized in multi.strings(_MULTI_EXECUTABLES):
        executable = _Table.root(serialized)
        size = len(executable.raw(_EXECUTABLE_PARAMETERS))
        if executable.number(_EXECUTABLE_TYPE, "<h") == _CACHING:
            cached += size
        else:
            streamed += size
        narrow = max(narrow, executable.number(_EXECUTABLE_NARROW))
    compiler = package.raw(_PACKAGE_COMPILER).decode("utf-8", "replace")
    return Program(package.number(_PACKAGE_RUNTIME), compiler, cached, streamed, narrow)
