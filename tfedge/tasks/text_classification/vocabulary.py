"""The vocabulary in a drop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.files.files import shown


def vocabulary_of(folder: Path, manifest: Mapping[str, Any]) -> bytes:
    """The content of vocab.txt. ValueError for a manifest that names a file which it does not
    list, and which may be any."""
    name = manifest["input"]["vocabulary"]
    if name not in manifest["files"]:
        raise ValueError(f"input.vocabulary {shown(str(name))} is not among files")
    return (folder / name).read_bytes()
