"""Decoded pixels: each image is decoded once, on all cores, and kept by its file's SHA-256."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL

from tfedge.data.audit import Bad
from tfedge.data.index import Index
from tfedge.errors import ArtifactError
from tfedge.files.parallel import cores, in_order
from tfedge.files.progress import NoProgress, Progress
from tfedge.files.store import MissingRecords, RecordStore, shared
from tfedge.inputs.images.formats import HEAD, foreign
from tfedge.inputs.images.looks import Look, look
from tfedge.portable import images
from tfedge.portable.images import BadImage
from tfedge.portable.levels import deep_levels, is_deep, spread_levels

_CHECKED = 2  # rises when an image that was kept would be refused
_LEVELS = 32  # of an image of 16 bits: fewer are refused, where it has many more
_BATCH_BYTES = 32 * 2**20  # of decoded pixels held before they are written


@dataclass(frozen=True)
class Decoding:
    """How an image becomes pixels. ``levels``: of 16 bits a channel those that become 0 and 255;
    None: the upper 8 bits."""

    size: int
    fit: str
    levels: tuple[int, int] | None = None

    def store(self, cache: Path) -> RecordStore:
        """The store of uint8 [size, size, 3] pixels, by the SHA-256 of the image's file.

        Its name holds what the pixels depend on: side, fit, levels, our decoding, and Pillow's
        version, whose JPEG decoder and resampling are its own.
        """
        levels = "" if self.levels is None else "-{}-{}".format(*self.levels)
        version = f"v{images.VERSION}.{_CHECKED}"
        name = f"pixels-{self.size}-{self.fit}{levels}-{version}-pillow{PIL.__version__}"
        return shared(cache / "store" / name, np.uint8, (self.size, self.size, 3))

    def pixels(self, data: bytes, name: str) -> np.ndarray:
        """uint8 [size, size, 3] of a file's bytes. ``Refused`` for what is no good image."""
        if found := foreign(data[:HEAD], name):
            raise Refused(Bad(*found))
        try:
            if is_deep(data):
                self._check_levels(data)
            return images.decode(data, self.size, self.fit, self.levels)
        except BadImage as error:
            raise Refused(Bad(error.reason)) from error

    def _check_levels(self, data: bytes) -> None:
        """Refuse an image of 16 bits of which next to nothing would be left."""
        images.decode(data, 1, "stretch")  # else it is damaged or too large, and that is said
        deep = deep_levels(data)
        before = np.unique(deep)
        left = len(np.unique(spread_levels(before, self.levels)))
        if left < _LEVELS and len(before) > 2 * left:
            by = "" if self.levels is None else " by data.range"
            raise Refused(
                Bad(
                    f"16 bits, of whose {len(before)} levels ({before[0]} to {before[-1]}) {left} "
                    f"are left{by}",
                    "set data.range: [BLACK, WHITE], the levels that become 0 and 255, for all "
                    "images of 16 bits",
                )
            )


class Refused(Exception):
    """A file that is no good image; ``bad`` says why."""

    def __init__(self, bad: Bad) -> None:
        super().__init__(bad.reason)
        self.bad = bad


def decode_into(
    store: RecordStore, files: Mapping[str, Path], decoding: Decoding, progress: Progress
) -> dict[str, Bad]:
    """Decodes the images that the store lacks. Returns why, by digest, for those it can't.

    ``files`` has a file for each SHA-256. Raises ArtifactError when a file is no longer the one
    that was hashed.
    """
    if not store.missing(files):
        return {}
    with store.alone("the decoded images", progress.note):
        return _decode_missing(store, files, decoding, progress)


def _decode_missing(
    store: RecordStore, files: Mapping[str, Path], decoding: Decoding, progress: Progress
) -> dict[str, Bad]:
    missing = store.missing(files)  # another run may have decoded some by now
    batch = max(1, min(64, _BATCH_BYTES // store.record_bytes))
    bad: dict[str, Bad] = {}
    keys: list[str] = []
    pixels: list[np.ndarray] = []

    def decoded(digest: str) -> np.ndarray | Bad:
        try:
            return decoding.pixels(_verified(files[digest], digest), files[digest].name)
        except BadImage as error:
            return Bad(error.reason)
        except Refused as error:
            return error.bad

    ahead = max(batch, 2 * cores())
    for done, (digest, result) in enumerate(in_order(decoded, missing, ahead), 1):
        if isinstance(result, Bad):
            bad[digest] = result
        else:
            keys.append(digest)
            pixels.append(result)
        if len(keys) == batch or (keys and done == len(missing)):
            store.put(keys, np.stack(pixels))
            keys, pixels = [], []
        progress.update("decode", done, len(missing), "images")
    return bad


def looks_of(
    store: RecordStore, files: Mapping[str, Path], decoding: Decoding, progress: Progress
) -> tuple[dict[str, Look], dict[str, Bad]]:
    """Decodes what is new. By file digest: what the audit compares, or why there is nothing."""
    bad = decode_into(store, files, decoding, progress)
    looks = _looks(store, [digest for digest in files if digest not in bad])
    damaged = [digest for digest, found in looks.items() if found is None]
    if damaged:
        bad |= decode_into(store, {digest: files[digest] for digest in damaged}, decoding, progress)
        looks |= _looks(store, [digest for digest in damaged if digest not in bad])
    return {digest: found for digest, found in looks.items() if found is not None}, bad


def _looks(store: RecordStore, digests: Sequence[str]) -> dict[str, Look | None]:
    """What the audit compares, by file digest in this order; None where the record is damaged."""

    def of(digest: str) -> Look | None:
        try:
            return look(store.get([digest])[0])
        except MissingRecords:
            return None

    return dict(in_order(of, digests, 256))


def _verified(path: Path, digest: str) -> bytes:
    """The file's bytes, if they still are what was hashed."""
    data = images.read(path)
    got = hashlib.sha256(data).hexdigest()
    if got != digest:
        hint = "run again when nothing writes to the images any more"
        raise ArtifactError(path, "changed since it was scanned", hint, digest[:16], got[:16])
    return data


class DecodedImages:
    """The pixels of the index' images as the net sees them. Threads may share it."""

    def __init__(
        self,
        index: Index,
        root: Path,
        cache: Path,
        size: int,
        fit: str,
        levels: tuple[int, int] | None = None,
    ) -> None:
        self.index = index
        self.root = root
        self.cache = cache
        self.size = size
        self.fit = fit
        self.levels = levels
        self._decoding = Decoding(size, fit, levels)
        self.store = self._decoding.store(cache)
        self._lock = threading.Lock()

    def pixels(self, rows: Sequence[int], progress: Progress | None = None) -> np.ndarray:
        """uint8 [len(rows), size, size, 3] RGB, in RAM; decodes what is not stored yet.

        Raises ArtifactError for a file that is gone, unreadable or changed since it was scanned.
        """
        found = self.memmap_rows(rows, progress)
        return np.asarray(self.store.memmap[found])

    def pixel(self, row: int) -> np.ndarray:
        """uint8 [size, size, 3] RGB of one image."""
        return np.asarray(self.pixels([row])[0])

    def named(self, path: str) -> np.ndarray:
        """uint8 [size, size, 3] RGB of an image below the root, whether the index has it or the
        audit left it out. ArtifactError as of ``pixels``."""
        row = self._rows.get(path)
        if row is not None:
            return self.pixel(row)
        file = self.root / path
        try:
            return self._decoding.pixels(images.read(file), file.name)
        except BadImage as error:
            raise ArtifactError(file, error.reason) from error
        except Refused as error:
            raise ArtifactError(file, error.bad.reason) from error

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {row.path: number for number, row in enumerate(self.index.rows)}

    def memmap_rows(self, rows: Sequence[int], progress: Progress | None = None) -> np.ndarray:
        """Where these images stand in ``store.memmap``: for loops that gather batch by batch."""
        keys = self.index.keys(rows)
        try:
            return self.store.rows(keys)
        except MissingRecords as missing:
            self._decode(rows, missing.keys, progress or NoProgress())
        return self.store.rows(keys)

    def _decode(self, rows: Sequence[int], keys: Sequence[str], progress: Progress) -> None:
        wanted = set(keys)
        with self._lock:
            files = {
                row.sha256: self.root / row.path
                for row in (self.index.rows[number] for number in rows)
                if row.sha256 in wanted
            }
            bad = decode_into(self.store, files, self._decoding, progress)
        if bad:
            digest, found = next(iter(bad.items()))
            raise ArtifactError(files[digest], found.reason, "run again, the data are checked anew")
