"""Compressed data a bounded piece at a time, charged to a budget.

Python's own readers of zip and tar decompress what they read as a whole, and take memory for it:
1.9 MB of bzip2 become 3 GB at once.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Protocol

from tfedge.files.budget import PIECE, Budget

_INPUT = 1 << 16
_MEMORY = 192 * 2**20  # of a decoder; xz -9 needs 65 MB


class Decoder(Protocol):
    """What bz2 and lzma have."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most so many bytes; input that is not used yet is kept."""


class Deflate:
    """zlib as a ``Decoder``. ``wbits`` as zlib has them: 31 for gzip, -15 for a zip's members."""

    def __init__(self, wbits: int) -> None:
        self._zlib = zlib.decompressobj(wbits)
        self._kept = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._kept

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most so many bytes."""
        found = self._zlib.decompress(self._kept + data, max_length)
        self._kept = self._zlib.unconsumed_tail
        return found


def zip_lzma(header: bytes) -> Decoder:
    """For a zip's LZMA member, from its header: nine bytes with the properties and the size of the
    dictionary. LZMAError for one that would take too much memory."""
    if len(header) != 9 or header[2:4] != b"\x05\0" or header[4] >= 9 * 5 * 5:
        raise lzma.LZMAError("an LZMA header that is none")
    size = int.from_bytes(header[5:9], "little")
    if size > _MEMORY:
        raise lzma.LZMAError(f"LZMA with a dictionary of {size:,} bytes")
    rest, literal = divmod(header[4], 9)
    position_bits, literal_position = divmod(rest, 5)
    settings = {"lc": literal, "lp": literal_position, "pb": position_bits}
    chain = [{"id": lzma.FILTER_LZMA1, "dict_size": max(size, 4096), **settings}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)


_TAR = (
    (b"\x1f\x8b", lambda: Deflate(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY)),
    (b"\x5d\0\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MEMORY)),
)


def decoder_of(start: bytes) -> Callable[[], Decoder] | None:
    """What makes decoders for a file that begins so; None for one that is not compressed."""
    return next((make for magic, make in _TAR if start.startswith(magic)), None)


class Decompressed:
    """A binary file to be read forward: what a compressed stream, or several in a row, hold.

    ``fresh`` makes a decoder; None: the stream is read as it is. It raises what zlib, bz2 and lzma
    raise, and EOFError when the stream has no end, unless it is ``open_ended``.
    """

    def __init__(
        self,
        source: IO[bytes],
        fresh: Callable[[], Decoder] | None,
        budget: Budget,
        *,
        open_ended: bool = False,
    ) -> None:
        self._source, self._fresh, self._budget = source, fresh, budget
        self._open_ended = open_ended
        self._decoder = fresh() if fresh else None
        self._ready = memoryview(b"")
        self._last = b""  # the byte before the position: tarfile looks back at it
        self._position = 0

    def tell(self) -> int:
        """Bytes that were read or passed over."""
        return self._position

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end. At most ``PIECE``."""
        if not 0 <= size <= PIECE:
            self._budget.refuse(f"has a header of {size:,} bytes")
        pieces = []
        while size and (piece := self._some(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def seek(self, position: int) -> int:
        """Pass over what lies before ``position``; one byte back is all that goes backwards."""
        if self._last and position == self._position - 1:
            self._ready = memoryview(self._last + bytes(self._ready))
            self._position, self._last = position, b""
        if position < self._position:
            raise EOFError("goes back in a stream")
        while position > self._position and self._some(min(PIECE, position - self._position)):
            pass
        return self._position

    def _some(self, most: int) -> bytes:
        if not self._ready:
            self._ready = memoryview(self._next())
            self._budget.spend(size=len(self._ready))
        piece = bytes(self._ready[:most])
        self._ready = self._ready[len(piece) :]
        self._position += len(piece)
        self._last = piece[-1:] or self._last
        return piece

    def _next(self) -> bytes:
        """The next bytes that come out, at most ``_INPUT``; none at the end."""
        if self._decoder is None or self._fresh is None:
            return self._source.read(_INPUT)
        while True:
            given = b""
            if self._decoder.eof:
                # Padding may follow, then another stream.
                given = self._decoder.unused_data.lstrip(b"\0")
                while not given and (given := self._source.read(_INPUT)):
                    given = given.lstrip(b"\0")
                if not given:
                    return b""
                self._decoder = self._fresh()
            elif self._decoder.needs_input:
                given = self._source.read(_INPUT)
            ended = self._decoder.needs_input and not given
            found = self._decoder.decompress(given, _INPUT)
            if found:
                return found
            if ended and self._open_ended:
                return b""
            if ended and not self._decoder.eof:
                raise EOFError("the compressed data end too early")
