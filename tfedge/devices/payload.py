"""A file or a folder on its way to a device: its digest, its name there, its bytes as a tar."""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tfedge.errors import DeviceError
from tfedge.files.artifact import sha256_file

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST = 100  # of a name; file systems allow 255 bytes


@dataclass(frozen=True)
class Payload:
    digest: str  # SHA-256 of the file; of a folder, that of all names and digests in it
    name: str  # of the file or folder there: ours, made of the user's
    files: dict[str, tuple[Path, str]]  # path there, below the digest's folder: (file, SHA-256)
    size: int  # bytes of all files

    def write_tar(self, file: IO[bytes]) -> None:
        """All files as a tar. Executable: a benchmark binary must be, and a model does not care."""
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for there, (path, _) in self.files.items():
                with path.open("rb") as source:
                    entry = tarfile.TarInfo(there)
                    entry.size = path.stat().st_size
                    entry.mode = 0o755
                    tar.addfile(entry, source)


def pack(local: Path) -> Payload:
    """DeviceError when there is nothing at ``local``, or it can't be read."""
    name = safe_name(local.resolve().name)
    try:
        if local.is_dir():
            return _folder(local, name)
        digest = sha256_file(local)
        return Payload(digest, name, {name: (local, digest)}, local.stat().st_size)
    except OSError as error:
        raise DeviceError(f"{local}: can't be read: {error.strerror or error}") from error


def _folder(local: Path, name: str) -> Payload:
    found = sorted(p for p in local.rglob("*") if p.is_file())
    if not found:
        raise DeviceError(f"{local}: an empty folder: there is nothing to send")
    files = {f"{name}/{p.relative_to(local).as_posix()}": (p, sha256_file(p)) for p in found}
    whole = hashlib.sha256()
    for there, (_, digest) in files.items():
        whole.update(digest.encode() + there.encode("utf-8", "surrogateescape") + b"\0")
    return Payload(whole.hexdigest(), name, files, sum(p.stat().st_size for p in found))


def safe_name(name: str) -> str:
    """A name that no shell, tar or file system takes for anything else; the ending is kept."""
    clean = _UNSAFE.sub("_", name).lstrip("-.+") or "file"
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST // 2] + clean[-_LONGEST // 2 :]
