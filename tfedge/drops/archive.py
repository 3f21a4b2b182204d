"""A drop as one file: a zip with the same bytes whenever it is made of the same drop."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from tfedge.errors import ArtifactError, DropError
from tfedge.files import archive as archives
from tfedge.files.budget import DROP

SUFFIX = ".zip"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip can't say "no date"
_PLAIN_FILE, _PROGRAM = 0o100644, 0o100755


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

    DropError for what is no archive of one drop: entries that climb out of their folder, links,
    anything beside the drop's folder, or more than a drop can be.
    """
    try:
        whole = archives.unpack(archive, folder / "unpacked", limits=DROP)
    except ArtifactError as error:
        raise DropError(error.message, error.hint) from error
    top = list(whole.iterdir())
    if not top:
        raise DropError(f"{archive}: there is nothing in it, a drop is one folder")
    if len(top) != 1 or not top[0].is_dir():
        raise DropError(f"{archive}: at its top there is more than one folder, a drop is one")
    return top[0]
