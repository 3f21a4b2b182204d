"""A drop as one file: a zip with the same bytes whenever it is made of the same drop."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tfedge.errors import DropError

SUFFIX = ".zip"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip can't say "no date"
_PLAIN_FILE, _PROGRAM = 0o100644, 0o100755
_LIMIT = 2_000_000_000  # bytes unpacked; far above any model for a small device
_FILES = 100_000


def pack(folder: Path, archive: Path) -> None:
    """Write the drop's files, sorted, without dates, below one folder named as the drop.

    Replaces ``archive`` at the end. DropError when it can't be written.
    """
    temporary = archive.with_name(f".{archive.name}.{os.getpid()}.tmp")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w") as out:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                name = path.relative_to(folder).as_posix()
                entry = zipfile.ZipInfo(f"{archive.stem}/{name}", _EARLIEST)
                entry.create_system = 3  # Unix, on every machine
                entry.external_attr = (_PROGRAM if path.suffix == ".sh" else _PLAIN_FILE) << 16
                # Models barely shrink beside what zlib's version would change in the bytes.
                entry.compress_type = zipfile.ZIP_STORED
                out.writestr(entry, path.read_bytes())
        temporary.replace(archive)
    except OSError as error:
        raise DropError(f"{archive}: can't be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack into ``folder``; returns the drop in it.

    DropError for what is no zip of one drop: entries that climb out of their folder, links,
    several top folders, or more than a drop can be.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            entries = [entry for entry in source.infolist() if not entry.is_dir()]
            if len(entries) > _FILES or sum(entry.file_size for entry in entries) > _LIMIT:
                raise DropError(f"{archive}: unpacks to more than a drop can be")
            tops = {_checked(archive, entry).parts[0] for entry in entries}
            if len(tops) != 1:
                raise DropError(f"{archive}: holds {len(tops)} folders, a drop is one")
            for entry in entries:
                path = folder / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.read(entry))
    except OSError as error:
        raise DropError(f"{archive}: can't be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise DropError(f"{archive}: no zip that can be read: {error}") from error
    return folder / tops.pop()


def _checked(archive: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    name = PurePosixPath(entry.filename)
    linked = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or linked:
        raise DropError(f"{archive}: {entry.filename!r} would lie outside of its folder")
    if len(name.parts) < 2:
        raise DropError(f"{archive}: {entry.filename!r} lies beside the drop's folder")
    return name
