"""The vocabulary in a drop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.files.files import shown
from tfedge.portable.tokenizers import TOKENIZERS


def contents_of(folder: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The contents of the vocabulary's files, by their keys in the manifest. ValueError for a
    manifest that names a file which it does not list, and which may be any."""
    given = manifest["input"]
    return {key: _listed(folder, manifest, key, given[key]) for key in _keys(given)}


def _keys(given: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(TOKENIZERS[given["tokenizer"]].files)


def _listed(folder: Path, manifest: Mapping[str, Any], key: str, name: str) -> bytes:
    if name not in manifest["files"]:
        raise ValueError(f"input.{key} {shown(str(name))} is not among files")
    return (folder / name).read_bytes()
