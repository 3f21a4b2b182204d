"""The folder of ``package.golden``: files whose owner calls them public."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from tfedge.data.digests import Digests
from tfedge.data.listing import Entry, stamp_of
from tfedge.errors import DataError
from tfedge.files.progress import NoProgress, Progress
from tfedge.pipeline.schema import HELD_OUT, SYNTHETIC

_HINT = "package.golden is synthetic, held_out, or a folder of files that anybody may have"


def is_folder(golden: str) -> bool:
    """Whether ``package.golden`` names one."""
    return golden not in (SYNTHETIC, HELD_OUT)


def public_files(folder: Path) -> list[Path]:
    """All files below it, sorted, but hidden ones. DataError when it is no folder or holds none."""
    if not folder.is_dir():
        raise DataError([f"package.golden: {folder}: no such folder"], _HINT)
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here) / name for name in files if not name.startswith(".")]
    if not found:
        raise DataError([f"package.golden: {folder}: there is no file in it"], _HINT)
    return sorted(path for path in found if path.is_file())


def public_digest(
    root: Path, cache: Path, hash_new: bool, progress: Progress | None = None
) -> str | None:
    """A digest of the folder's files by name and content. None: there are new ones, and
    ``hash_new`` is False."""
    entries = [
        Entry(path.relative_to(root).as_posix(), "", None, stamp_of(path.stat()))
        for path in public_files(root)
    ]
    digests = Digests(cache, root)
    if not hash_new and any(digests.cached_digest(entry) is None for entry in entries):
        return None
    found, bad = digests.of(entries, progress or NoProgress(), "files")
    if bad:
        raise DataError([f"{root / name}: {why}" for name, why in sorted(bad.items())], _HINT)
    lines = [f"{name} {digest}" for name, digest in sorted(found.items())]
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
