"""Arrays on disk that a process reads through a memory map, written a portion at a time.

They are written as a file is, not through the map: a full disk is then an error that says which
one, and no signal that kills the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfedge.files.artifact import disk_errors
from tfedge.files.space import HELD


def save(path: Path, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type) -> None:
    """An ``.npy`` of ``shape`` and ``dtype``, of parts [n, *shape[1:]] that follow each other."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with disk_errors(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        _write(file, parts, shape, dtype)


def load(path: Path) -> np.ndarray:
    """An ``.npy``, read-only; what is not looked at is not read."""
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def scratch(
    parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type, folder: Path | None
) -> np.ndarray:
    """The same as an array, for as long as it is needed: held in memory, or where that would take
    more than ``HELD`` bytes read-only in a file of ``folder`` (None: the system's for temporary
    files) that has no name, and is gone with the array or the process."""
    if np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)) <= HELD:
        found: np.ndarray = np.empty(shape, dtype)
        first = 0
        for part in parts:
            found[first : first + len(part)] = part
            first += len(part)
        _check(first, shape)
        return found
    place = Path(tempfile.gettempdir()) if folder is None else folder
    with disk_errors(place), tempfile.TemporaryFile(dir=place) as file:
        _write(file, parts, shape, dtype)
        file.flush()
        return np.memmap(file, dtype, "r", shape=shape)


def _write(
    file: BinaryIO, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type
) -> None:
    rows = 0
    for part in parts:
        file.write(np.ascontiguousarray(part, dtype).data)
        rows += len(part)
    _check(rows, shape)


def _check(rows: int, shape: tuple[int, ...]) -> None:
    if rows != shape[0]:
        raise ValueError(f"{rows} rows came where there are {shape[0]}")
