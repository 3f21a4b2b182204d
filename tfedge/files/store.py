"""A store of equal-sized records (decoded pixels, features), found by the SHA-256 they go by.

Two files that only grow, and a lock file for whoever appends::

    data.bin    record 0, record 1, …            (shape and dtype are in meta.json)
    keys.bin    key (32 bytes) + CRC-32 of the record (4 bytes, little-endian), one a record

``meta.json`` carries its own digest: with a damaged one the store begins anew.

A record counts once its key stands behind it, and keys are written after their records. So what a
killed writer leaves is a torn tail, which readers don't see and the next writer cuts off.
There is no fsync: a kill loses nothing that was written, and after a power cut the CRC finds the
records that never reached the disk. A process checks a record once, when it first reads it, and
those that it has written itself not at all.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfedge.errors import ArtifactError
from tfedge.files.artifact import disk_errors, read_json, sha256_json, write_json
from tfedge.files.files import locked, try_lock

_ENTRY = struct.Struct("<32sI")
_KEPT_OPEN = 8  # stores that a process keeps open, those it used last


class MissingRecords(KeyError):
    """Some keys have no good record. ``keys`` are those: compute them, ``put`` them, ask again."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(f"{len(keys)} records are not in the store, the first is {keys[0]}")
        self.keys = list(keys)


class RecordStore:
    """Records of one ``dtype`` and ``shape`` in ``folder``. Threads and processes may share it.

    Keys are SHA-256 digests as 64 hex digits. Raises ArtifactError when the folder holds records
    of another kind, or the disk refuses (nothing torn is left in view).
    """

    def __init__(self, folder: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
        self.folder = folder
        self.dtype = np.dtype(dtype)
        self.shape = tuple(shape)
        self.record_bytes = self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))
        if not self.record_bytes:
            raise ValueError(f"records of no bytes: {self.dtype} {self.shape}")
        self._data, self._keys = folder / "data.bin", folder / "keys.bin"
        self._lock = threading.RLock()
        self._file: tuple[int, int] | None = None  # device and inode of data.bin
        self._seen = (0, 0)  # its size and time of change
        self._forget()
        self._check_kind()
        self._refresh()

    def _forget(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._crcs: list[int] = []
        self._checked = bytearray()  # a 1 for each record that is known to be good
        self._map: np.ndarray | None = None

    def look_again(self) -> None:
        """Takes in what has happened to the folder, as opening it anew would."""
        with self._lock:
            self._check_kind()
            self._refresh()

    def _check_kind(self) -> None:
        meta, kind = self.folder / "meta.json", {"dtype": self.dtype.str, "shape": [*self.shape]}
        with locked(self.folder / "lock"):
            found = _read_kind(meta)
            if found is None:  # new, or damaged: then nobody knows what the records are
                with disk_errors(self.folder):
                    for path in (self._keys, self._data):  # not cut: others may have them mapped
                        path.unlink(missing_ok=True)
                write_json(meta, {**kind, "sha256": sha256_json(kind)})
                return
        if found != kind:
            hint = f"remove {self.folder}; it is a cache and is made again"
            raise ArtifactError(meta, "holds other records", hint, str(kind), str(found))

    @contextmanager
    def alone(self, what: str, note: Callable[[str], None]) -> Iterator[None]:
        """For one process or thread at a time: to compute what is missing. Others who want to wait
        here, and then find it; ``note`` is told what for, and who is at it."""
        waiting = f"{what}, which another run is at"
        with locked(self.folder / "computing.lock", waiting=waiting, note=note):
            yield

    @contextmanager
    def part(
        self, name: str, what: str, note: Callable[[str], None] | None = None
    ) -> Iterator[bool]:
        """A part of what is missing, which one process or thread at a time computes. With ``note``
        it is waited for, as in ``alone``; without, False says that another is at it."""
        path = self.folder / f"part-{name}.lock"
        if note is not None:
            with locked(path, waiting=f"{what}, which another run is at", note=note, remove=True):
                yield True
            return
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = try_lock(path)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                with suppress(OSError):
                    path.unlink()
                os.close(handle)

    def _refresh(self) -> None:
        """Takes in what any process has appended since, and that records were written over."""
        data = _stat(self._data)
        found = data and (data.st_dev, data.st_ino)
        complete = self._complete()
        if complete < len(self._crcs) or (self._crcs and found != self._file):
            self._forget()  # the folder was emptied under us
        seen = (data.st_size, data.st_mtime_ns) if data else (0, 0)
        if seen[0] == self._seen[0] and seen != self._seen:
            self._checked = bytearray(len(self._crcs))
        self._file, self._seen = found, seen
        if complete == len(self._crcs):
            return
        with disk_errors(self._keys), self._keys.open("rb") as file:
            file.seek(len(self._crcs) * _ENTRY.size)
            added = file.read((complete - len(self._crcs)) * _ENTRY.size)
        for key, crc in _ENTRY.iter_unpack(added):
            self._rows[key] = len(self._crcs)  # of two records of one key, the later one counts
            self._crcs.append(crc)
        self._checked.extend(bytes(len(self._crcs) - len(self._checked)))

    def _complete(self) -> int:
        keys, data = _stat(self._keys), _stat(self._data)
        if keys is None or data is None:
            return 0
        return min(keys.st_size // _ENTRY.size, data.st_size // self.record_bytes)

    def __len__(self) -> int:
        with self._lock:
            return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return not self.missing([key])

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that are not in the store, once each, in their order."""
        with self._lock:
            wanted = {key: bytes.fromhex(key) for key in keys}
            if any(raw not in self._rows for raw in wanted.values()):
                self._refresh()
            return [key for key, raw in wanted.items() if raw not in self._rows]

    def put(self, keys: Sequence[str], array: np.ndarray) -> None:
        """Appends the records of the keys that are missing. ``array`` is [len(keys), *shape]."""
        if array.shape != (len(keys), *self.shape) or array.dtype != self.dtype:
            raise ValueError(
                f"expected {self.dtype} {(len(keys), *self.shape)}, got {array.dtype} {array.shape}"
            )
        with self._lock, locked(self.folder / "lock"):
            self._refresh()
            new: dict[bytes, int] = {}
            for position, key in enumerate(keys):
                if (raw := bytes.fromhex(key)) not in self._rows:
                    new.setdefault(raw, position)
            if new:
                try:
                    with disk_errors(self.folder):
                        self._append(list(new), array[list(new.values())])
                finally:
                    self._refresh()
                for raw in new.keys() & self._rows.keys():
                    self._checked[self._rows[raw]] = 1

    def _append(self, keys: list[bytes], records: np.ndarray) -> None:
        records = np.ascontiguousarray(records)
        crcs = [zlib.crc32(record.data) for record in records]
        entries = b"".join(_ENTRY.pack(key, crc) for key, crc in zip(keys, crcs, strict=True))
        for path in (self._keys, self._data):
            path.touch()
        try:
            self._cut_tails()
            _write_end(self._data, records.data.cast("B"))
            _write_end(self._keys, entries)
        except OSError:
            # Whole entries stay: another process may have seen them, and their records are good.
            self._cut_tails()
            raise

    def _cut_tails(self) -> None:
        complete = self._complete()
        os.truncate(self._keys, complete * _ENTRY.size)  # first, so that no key lacks its record
        os.truncate(self._data, complete * self.record_bytes)

    @property
    def memmap(self) -> np.ndarray:
        """All records as [n, *shape], read-only, not in RAM; index it with ``rows(keys)``."""
        with self._lock:
            count = len(self._crcs)
            if self._map is None or len(self._map) < count:
                self._map = (
                    np.memmap(self._data, self.dtype, "r", shape=(count, *self.shape))
                    if count
                    else np.empty((0, *self.shape), self.dtype)
                )
            return self._map

    def rows(self, keys: Sequence[str]) -> np.ndarray:
        """Row numbers into ``memmap``, int64 [len(keys)]. Each record is checked against its CRC,
        unless this store has done so before.

        Raises MissingRecords for keys that are absent or whose record is bad. Bad ones are
        forgotten: from then on they count as missing, and can be put again.
        """
        absent = self.missing(keys)
        if absent:
            raise MissingRecords(absent)
        with self._lock:
            raws = [bytes.fromhex(key) for key in keys]
            rows = np.array([self._rows[raw] for raw in raws], dtype=np.int64)
            records, crcs, checked = self.memmap, self._crcs, self._checked
        bad = []
        for raw, row in zip(raws, rows, strict=True):
            if checked[row]:
                continue
            if zlib.crc32(np.ascontiguousarray(records[row]).data) == crcs[row]:
                checked[row] = 1
            else:
                bad.append(raw)
        if bad:
            with self._lock:
                for raw in bad:
                    self._rows.pop(raw, None)
            raise MissingRecords([raw.hex() for raw in dict.fromkeys(bad)])
        return rows

    def get(self, keys: Sequence[str]) -> np.ndarray:
        """The records as [len(keys), *shape], in RAM, checked. Raises what ``rows`` raises."""
        rows = self.rows(keys)
        return np.asarray(self.memmap[rows])


_open: OrderedDict[Path, RecordStore] = OrderedDict()
_opening = threading.Lock()


def shared(folder: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> RecordStore:
    """The process' own store of a folder: who opens it again has its keys, and what is known to be
    good. Raises what ``RecordStore`` raises."""
    path = folder.absolute()
    with _opening:
        store = _open.pop(path, None)
        if store is not None and (store.dtype, store.shape) == (np.dtype(dtype), tuple(shape)):
            store.look_again()
        else:
            store = RecordStore(folder, dtype, shape)
        _open[path] = store
        while len(_open) > _KEPT_OPEN:
            _open.popitem(last=False)
        return store


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _read_kind(meta: Path) -> dict[str, Any] | None:
    """What records there are, as it was written; None when that is not there or damaged."""
    try:
        found = read_json(meta)
        digest = found.pop("sha256")
        return found if digest == sha256_json(found) else None
    except (ArtifactError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _write_end(path: Path, content: bytes | memoryview) -> None:
    with path.open("ab", buffering=0) as file:
        view = memoryview(content)
        while view:  # a write may be short, the next one then says why
            view = view[file.write(view) or 0 :]
