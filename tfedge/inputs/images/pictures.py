"""Decoded pixels: each image is decoded once, on all cores, and kept by its file's SHA-256."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL

from tfedge.data.index import Index
from tfedge.errors import ArtifactError
from tfedge.files.parallel import cores, in_order
from tfedge.files.progress import Progress, Silent
from tfedge.files.store import MissingRecords, RecordStore
from tfedge.portable import images
from tfedge.portable.images import BadImage

_BATCH_BYTES = 32 * 2**20  # of decoded pixels held before they are written


def pixel_store(cache: Path, size: int, fit: str) -> RecordStore:
    """The store of uint8 [size, size, 3] pixels, by the SHA-256 of the image's file.

    Its name holds what the pixels depend on: side, fit, our decoding, and Pillow's version, whose
    JPEG decoder and resampling are its own.
    """
    name = f"pixels-{size}-{fit}-v{images.VERSION}-pillow{PIL.__version__}"
    return RecordStore(cache / "store" / name, np.uint8, (size, size, 3))


def decode_into(
    store: RecordStore, files: Mapping[str, Path], fit: str, progress: Progress
) -> dict[str, str]:
    """Decodes the images that the store lacks. Returns why, by digest, for those it can't.

    ``files`` has a file for each SHA-256. Raises ArtifactError when a file is no longer the one
    that was hashed.
    """
    if not store.missing(files):
        return {}
    with store.alone("the decoded images", progress.note):
        return _decode_missing(store, files, fit, progress)


def _decode_missing(
    store: RecordStore, files: Mapping[str, Path], fit: str, progress: Progress
) -> dict[str, str]:
    missing = store.missing(files)  # another run may have decoded some by now
    batch = max(1, min(64, _BATCH_BYTES // store.record_bytes))
    size = store.shape[0]
    bad: dict[str, str] = {}
    keys: list[str] = []
    pixels: list[np.ndarray] = []

    def decoded(digest: str) -> np.ndarray | BadImage:
        try:
            return images.decode(_verified(files[digest], digest), size, fit)
        except BadImage as error:
            return error

    ahead = max(batch, 2 * cores())
    for done, (digest, result) in enumerate(in_order(decoded, missing, ahead), 1):
        if isinstance(result, BadImage):
            bad[digest] = result.reason
        else:
            keys.append(digest)
            pixels.append(result)
        if len(keys) == batch or (keys and done == len(missing)):
            store.put(keys, np.stack(pixels))
            keys, pixels = [], []
        progress.update("decode", done, len(missing), "images")
    return bad


def pixel_digests(
    store: RecordStore, files: Mapping[str, Path], fit: str, progress: Progress
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Decodes what is new. By file digest: a hash of the pixels, or why there are none."""
    bad = decode_into(store, files, fit, progress)
    good = [digest for digest in files if digest not in bad]
    try:
        rows = store.rows(good)
    except MissingRecords:  # damaged on disk
        bad |= decode_into(store, files, fit, progress)
        good = [digest for digest in files if digest not in bad]
        rows = store.rows(good)
    records = store.memmap
    hashed = in_order(lambda row: hashlib.blake2b(records[row], digest_size=16).digest(), rows, 256)
    return dict(zip(good, (pixels for _, pixels in hashed), strict=True)), bad


def _verified(path: Path, digest: str) -> bytes:
    """The file's bytes, if they still are what was hashed."""
    data = images.read(path)
    got = hashlib.sha256(data).hexdigest()
    if got != digest:
        hint = "run again when nothing writes to the images any more"
        raise ArtifactError(path, "changed since it was scanned", hint, digest[:16], got[:16])
    return data


class Pictures:
    """The pixels of the index' images as the net sees them. Threads may share it."""

    def __init__(self, index: Index, root: Path, cache: Path, size: int, fit: str) -> None:
        self.index = index
        self.root = root
        self.cache = cache
        self.size = size
        self.fit = fit
        self.store = pixel_store(cache, size, fit)
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

    def memmap_rows(self, rows: Sequence[int], progress: Progress | None = None) -> np.ndarray:
        """Where these images stand in ``store.memmap``: for loops that gather batch by batch."""
        keys = self.index.keys(rows)
        try:
            return self.store.rows(keys)
        except MissingRecords as missing:
            self._decode(rows, missing.keys, progress or Silent())
        return self.store.rows(keys)

    def _decode(self, rows: Sequence[int], keys: Sequence[str], progress: Progress) -> None:
        wanted = set(keys)
        with self._lock:
            files = {
                row.sha256: self.root / row.path
                for row in (self.index.rows[number] for number in rows)
                if row.sha256 in wanted
            }
            bad = decode_into(self.store, files, self.fit, progress)
        if bad:
            digest, reason = next(iter(bad.items()))
            raise ArtifactError(files[digest], reason, "run again, the data are checked anew")
