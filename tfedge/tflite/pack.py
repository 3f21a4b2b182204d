"""A model of the schema's own Python classes as the bytes of a .tflite, nothing written twice.

A .tflite has a scale and a zero point for each channel of each kernel and each bias, and most of
these vectors are equal: all zero points of a width are zeros. A flatbuffer may name one vector from
many tables (FlatBuffers' "Internals" page: offsets may share what they point to), and every reader
follows the offset without noticing. Constants lie at multiples of 16 bytes, as TFLite's schema asks
(``force_align``) and its own Python code does not write.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from tfedge.tflite.reader import IDENTIFIER

ALIGNMENT = 16  # of every constant; the runtimes read them in place


def constant(builder: flatbuffers.Builder, content: bytes) -> int:
    """The offset of bytes that are put where a constant may lie."""
    builder.StartVector(1, len(content), ALIGNMENT)
    builder.head -= len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    return int(builder.EndVector())


class _Builder(flatbuffers.Builder):
    """Gives the offset of an equal vector or string that is there already."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}
        self._strings: dict[str | bytes, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        content = x.tobytes()
        key = x.dtype.str, content
        if key not in self._vectors:
            is_bytes = x.itemsize == 1
            self._vectors[key] = (
                constant(self, content) if is_bytes else super().CreateNumpyVector(x)
            )
        return self._vectors[key]

    def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:
        if s not in self._strings:
            self._strings[s] = super().CreateString(s, encoding, errors)
        return self._strings[s]


def pack(model: Any) -> bytes:
    """The file of a ``ModelT``; its vectors become numpy arrays on the way."""
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(bytes(bytearray(buffer.data)), np.uint8)
    builder = _Builder(sum(len(b.data) for b in model.buffers if b.data is not None) + 65536)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
