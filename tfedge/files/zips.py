"""Reading a zip that may have been made to do harm: bounded in memory, bytes, entries and time."""

from __future__ import annotations

import bz2
import copy
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from tfedge.errors import ArtifactError
from tfedge.files.budget import PIECE, Budget
from tfedge.files.decompress import Decoder, Decompressed, Deflate, zip_lzma
from tfedge.files.files import in_short, shown

# What zipfile and the decoders raise on damaged bytes. ValueError: names that are no UTF-8.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError),
    *(NotImplementedError, RuntimeError, LookupError, OverflowError),
)
_HINT = "fetch it again, or make it again"
_ENTRY = b"PK\1\2"  # begins each entry of the directory


@dataclass(frozen=True)
class Zip:
    """An open zip. Everything that it gives out is charged to its budget."""

    _file: zipfile.ZipFile
    _budget: Budget

    @property
    def names(self) -> list[str]:
        """Of all entries, in the order of the directory."""
        return self._file.namelist()

    def infos(self) -> Iterator[zipfile.ZipInfo]:
        """Its entries. ArtifactError for an encrypted one."""
        for info in self._file.infolist():
            self._budget.spend(entries=1)
            if info.flag_bits & 1:
                what = f"entry {shown(info.filename)} is encrypted: refused"
                raise ArtifactError(self._budget.called, what, "pack it again without a password")
            yield info

    def read(self, name: str) -> bytes:
        """A member's bytes. ArtifactError when there is none, or it is damaged."""
        found = next((info for info in self.infos() if info.filename == name), None)
        if found is None:
            raise ArtifactError(self._budget.called, f"holds no {shown(name)}", _HINT)
        return b"".join(self.pieces(found))

    def pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """A member's bytes, at most 1 MiB at a time. ArtifactError when they are damaged."""
        try:
            yield from self._pieces(info)
        except _DAMAGE as error:
            what = f"entry {shown(info.filename)} is damaged: {in_short(error)}"
            raise ArtifactError(self._budget.called, what, _HINT) from error

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        size = crc = 0
        with self._file.open(_stored(info)) as source:
            # LZMA need not mark its end; size and CRC-32 tell that it was all.
            fresh = _fresh(info, source)
            stream = Decompressed(source, fresh, self._budget, open_ended=True)
            while piece := stream.read(PIECE):
                size, crc = size + len(piece), zlib.crc32(piece, crc)
                yield piece
        if (size, crc) != (info.file_size, info.CRC):
            raise zipfile.BadZipFile("its size or CRC-32 is not what the directory says")


@contextmanager
def opened(source: Path | bytes, budget: Budget) -> Iterator[Zip]:
    """A zip in a file or in bytes. ArtifactError when it is none, or its directory is damaged."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        try:
            archive = zipfile.ZipFile(_Guarded(file, budget))  # type: ignore[call-overload]
        except _DAMAGE as error:
            what = f"no zip, or a damaged one: {in_short(error)}"
            raise ArtifactError(budget.called, what, _HINT) from error
        with archive:
            yield Zip(archive, budget)


def is_zip(source: Path | bytes) -> bool:
    """Whether a zip's directory ends the file. Of one that can't be read as one, too."""
    return zipfile.is_zipfile(io.BytesIO(source) if isinstance(source, bytes) else source)


def is_link(info: zipfile.ZipInfo) -> bool:
    """Whether an entry is neither file nor folder."""
    return stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR)


def _stored(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The entry as if it were not compressed: its bytes as they lie in the file."""
    plain = copy.copy(info)
    plain.compress_type, plain.file_size = zipfile.ZIP_STORED, info.compress_size
    del plain.CRC  # which is that of what comes out
    return plain


def _fresh(info: zipfile.ZipInfo, source: IO[bytes]) -> Callable[[], Decoder] | None:
    match info.compress_type:
        case zipfile.ZIP_STORED:
            return None
        case zipfile.ZIP_DEFLATED:
            return partial(Deflate, -15)
        case zipfile.ZIP_BZIP2:
            return partial(bz2.BZ2Decompressor)
        case zipfile.ZIP_LZMA:
            return partial(zip_lzma, source.read(9))
    raise NotImplementedError(f"compression method {info.compress_type}")


class _Guarded:
    """A file as zipfile needs it, that refuses a directory of more entries than the budget has:
    zipfile reads it whole and makes an object of each."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file, self._budget = file, budget
        self.seekable, self.tell, self.close = file.seekable, file.tell, file.close

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("an offset before the file")
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            self._budget.refuse(f"lists more than {self._budget.entries:,} entries")
        found = self._file.read(size)
        if found.startswith(_ENTRY) and found.count(_ENTRY) > self._budget.entries:
            self._budget.refuse(f"lists more than {self._budget.entries:,} entries")
        return found

    @property
    def _most(self) -> int:
        return max(1 << 22, 160 * self._budget.entries)  # what that many can take, with their names
