"""Unpacking a zip or tar that may have been made to do harm.

Nothing leaves the folder: entries with ``..``, absolute names, links and devices are refused,
whatever this Python's ``tarfile`` thinks of them, and so are archives that unpack to more than
their limits. The folder appears when everything is in it, or not at all.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tfedge.errors import ArtifactError
from tfedge.files import zips
from tfedge.files.budget import DATA, PIECE, Budget, Limits
from tfedge.files.decompress import Decompressed, decoder_of
from tfedge.files.files import in_short, new_folder, shown

_HEADERS = 1 << 20  # bytes that may describe one entry of a tar: pax headers, long names, holes
# What tarfile and the decoders raise on damaged bytes. ValueError: numbers that are none.
_DAMAGE = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError),
    *(RuntimeError, LookupError, OverflowError),
)


@dataclass(frozen=True)
class _Entry:
    """``what`` is "file", "folder", or what it is that we refuse."""

    name: str
    what: str
    pieces: Callable[[], Iterator[bytes]]


def unpack(archive: Path, target: Path, called: str = "", *, limits: Limits = DATA) -> Path:
    """Unpacks a zip or tar (plain, gz, bz2, xz) into the new folder ``target``, under a lock.

    The caller holds the lock. ``called`` names the archive in messages. Raises ArtifactError for
    what is no archive, is damaged, or is refused, as what unpacks to more than ``limits``; then
    there is no ``target``.
    """
    name = called or str(archive)
    budget = limits.budget(name, archive.stat().st_size)
    with new_folder(target) as folder, _entries(archive, budget) as entries:
        for entry in entries:
            path = _inside(folder, entry, name)
            try:
                (path if entry.what == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
                if entry.what == "file":
                    with path.open("xb") as file:
                        file.writelines(entry.pieces())
            except (FileExistsError, NotADirectoryError) as error:
                raise ArtifactError(name, f"entry {shown(entry.name)} is there twice") from error
    return target


def _inside(folder: Path, entry: _Entry, archive: str) -> Path:
    """Where the entry goes; raises if that is not below ``folder``, or it is no file or folder."""
    parts = PurePosixPath(entry.name).parts
    why = ""
    if entry.what not in ("file", "folder"):
        why = f"is a {entry.what}"
    elif entry.name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        why = "leads out of its folder"
    elif "\0" in entry.name:
        why = "has a NUL in its name"
    elif not parts and entry.what == "file":
        why = "has no name"
    if why:
        hint = "don't trust this archive; unpack and look at it by hand, and set data.path"
        raise ArtifactError(archive, f"entry {shown(entry.name)} {why}: refused", hint)
    return folder.joinpath(*parts)


@contextmanager
def _entries(archive: Path, budget: Budget) -> Iterator[Iterator[_Entry]]:
    """The entries; what goes wrong while they are read is a damaged archive."""
    with archive.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if not _is_tar(start) and zips.is_zip(archive):
            with zips.opened(archive, budget) as zipped:
                yield _zip_entries(zipped)
        else:
            yield _damage(_tar_entries(file, start, budget), budget)


def _is_tar(start: bytes) -> bool:
    """By the first bytes; a tar that ends with a zip is a tar."""
    return start[257:262] == b"ustar" or decoder_of(start) is not None


def _damage(steps: Iterator[_Entry], budget: Budget) -> Iterator[_Entry]:
    try:
        yield from steps
    except _DAMAGE as error:
        what = f"no zip or tar, or a damaged one: {in_short(error)}"
        raise ArtifactError(budget.called, what) from error
    except OSError as error:
        if error.errno is None:  # bz2 says "damaged" so; the disk has a number
            raise ArtifactError(budget.called, f"damaged archive: {in_short(error)}") from error
        raise


def _zip_entries(archive: zips.Zip) -> Iterator[_Entry]:
    for info in archive.infos():
        if info.filename.endswith("/"):
            what = "folder"
        else:
            what = "link or device" if zips.is_link(info) else "file"
        # Some Windows tools write backslashes; read as such, a "..\\x" is seen for what it is.
        path = info.filename.replace("\\", "/")
        yield _Entry(path, what, partial(archive.pieces, info))


class _Headers(Decompressed):
    """A tar as tarfile reads it. ``left`` is what may still be read to describe the next entry."""

    left = _HEADERS

    def read(self, size: int) -> bytes:
        """As ``Decompressed``."""
        found = super().read(size)
        self.left -= len(found)
        if self.left < 0:
            self._budget.refuse(f"describes an entry with more than {_HEADERS:,} bytes")
        return found


def _tar_entries(file: IO[bytes], start: bytes, budget: Budget) -> Iterator[_Entry]:
    stream = _Headers(file, decoder_of(start), budget)
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        while info := archive.next():
            budget.spend(entries=1)
            yield _Entry(info.name, _kind(info), partial(_content, stream, info, budget))
            archive.members.clear()  # which it keeps otherwise
            stream.left = _HEADERS


def _kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.isreg() and not info.issparse():
        return "file"
    return "link" if info.issym() or info.islnk() else "device or special file"


def _content(stream: _Headers, info: tarfile.TarInfo, budget: Budget) -> Iterator[bytes]:
    try:
        stream.seek(info.offset_data)
        left = info.size
        while left > 0:
            stream.left = PIECE
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise EOFError(f"{shown(info.name)} ends too early")
            left -= len(piece)
            yield piece
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArtifactError(budget.called, f"damaged archive: {in_short(error)}") from error
