"""Unpacking a zip or tar that may have been made to do harm.

Nothing leaves the folder: entries with ``..``, absolute names, links and devices are refused,
whatever this Python's ``tarfile`` thinks of them, and so are archives that unpack to too much. The
folder appears when everything is in it, or not at all.
"""

from __future__ import annotations

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tfedge.errors import ArtifactError
from tfedge.files.files import new_folder, shown

MAX_ENTRIES = 2_000_000
MAX_BYTES = 200 * 2**30
MAX_RATIO = 200  # unpacked to packed; images hardly shrink
_FREE_BYTES = 64 * 2**20  # below this the ratio does not matter
_BLOCK = 1 << 20
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError),  # cut off; a compression that zipfile does not know
)


@dataclass(frozen=True)
class _Entry:
    """``what`` is "file", "folder", or what it is that we refuse."""

    name: str
    what: str
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    target: Path,
    called: str = "",
    *,
    most_bytes: int = MAX_BYTES,
    most_entries: int | None = None,
) -> Path:
    """Unpacks a zip or tar (plain, gz, bz2, xz) into the new folder ``target``, under a lock.

    The caller holds the lock. ``called`` names the archive in messages. Raises ArtifactError for
    what is no archive, is damaged, or is refused, as what unpacks to more bytes or entries than
    these; then there is no ``target``.
    """
    name, most = called or str(archive), most_entries or MAX_ENTRIES
    limit = min(most_bytes, max(_FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    with new_folder(target) as folder, _entries(archive, name) as entries:
        written = 0
        for count, entry in enumerate(entries, 1):
            if count > most:
                raise ArtifactError(name, f"more than {most} entries: refused")
            path = _inside(folder, entry, name)
            try:
                (path if entry.what == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
                if entry.what == "file":
                    written += _copy(entry, path, limit - written, name)
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
    if why:
        hint = "don't trust this archive; unpack and look at it by hand, and set data.path"
        raise ArtifactError(archive, f"entry {shown(entry.name)} {why}: refused", hint)
    return folder.joinpath(*parts)


def _copy(entry: _Entry, path: Path, limit: int, archive: str) -> int:
    """Bytes written. Counts what comes out, since headers may lie."""
    written = 0
    with path.open("xb") as target, entry.open() as source:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > limit:
                raise ArtifactError(archive, "unpacks to too much (a bomb?): refused")
            target.write(block)
    return written


@contextmanager
def _entries(archive: Path, name: str) -> Iterator[Iterator[_Entry]]:
    """The entries; what goes wrong while they are read is a damaged archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield _zip_entries(zipped, name)
        else:
            with tarfile.open(archive, "r:*") as tarred:
                yield _tar_entries(tarred)
    except _DAMAGE as error:
        raise ArtifactError(name, f"no zip or tar, or a damaged one: {error}") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say "damaged" so; the disk has a number
            raise ArtifactError(name, f"damaged archive: {error}") from error
        raise


def _zip_entries(archive: zipfile.ZipFile, name: str) -> Iterator[_Entry]:
    for info in archive.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1:
            raise ArtifactError(name, f"entry {shown(info.filename)} is encrypted: refused")
        if info.is_dir():
            what = "folder"
        else:
            what = "file" if mode in (0, stat.S_IFREG) else "link or device"
        # Some Windows tools write backslashes; read as such, a "..\\x" is seen for what it is.
        path = info.filename.replace("\\", "/")
        yield _Entry(path, what, partial(archive.open, info))


def _tar_entries(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        if info.isdir():
            what = "folder"
        elif info.isreg() and not info.issparse():
            what = "file"
        else:
            what = "link" if info.issym() or info.islnk() else "device or special file"
        yield _Entry(info.name, what, partial(_content, archive, info))


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    if file is None:
        raise tarfile.ReadError(f"{info.name} has no content")
    return file
