"""The built-in samples: small sets that come with a library or are made, written once as files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tfedge.config.spelling import did_you_mean
from tfedge.data import messages
from tfedge.errors import DataError
from tfedge.files.imports import imported
from tfedge.files.kept import KeptFolder

PREFIX = "sample:"
_STORED = 0xFFFF  # bytes of a block that is not compressed
# The folder's name changes when what is written changes.
_FOLDERS = {"digits": "digits-1", "messages": "messages-1", "scenes": "scenes-1"}


def sample_root(path: str, cache: Path) -> Path:
    """Where the images of ``sample:NAME`` lie, or will. Raises DataError for unknown names."""
    name = path.removeprefix(PREFIX)
    if name not in _FOLDERS:
        raise DataError([f"data.path: no sample {name!r}{did_you_mean(name, _FOLDERS)}"])
    return cache / "samples" / _FOLDERS[name]


def kept_sample(path: str, cache: Path) -> KeptFolder:
    """``sample_root`` as a folder of the cache's that is written when it is not there."""
    root = sample_root(path, cache)  # DataError
    return KeptFolder(root, _WRITERS[path.removeprefix(PREFIX)], path)


def _write_digits(folder: Path) -> None:
    """scikit-learn's handwritten digits: 1,797 of 8×8 in 10 classes, grey 0–16 spread to 0–255.

    (Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, the test part.)
    """
    from sklearn.datasets import load_digits  # slow to import, needed once

    data = load_digits()
    levels = (data.images * 255 / 16 + 0.5).astype("uint8")
    counts = [0] * 10
    for image, label in zip(levels, data.target, strict=True):
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        made = png(image.tobytes(), *image.shape)
        (target / f"{counts[label]:04d}.png").write_bytes(made)
        counts[label] += 1


def png(pixels: bytes, height: int, width: int, *, color: bool = False) -> bytes:
    """An uncompressed 8-bit PNG, grey or RGB. Not through an encoder, whose bytes change with its
    version: the content hash of a sample, and with it the split, is the same everywhere."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    line = width * (3 if color else 1)
    rows = b"".join(b"\0" + pixels[i : i + line] for i in range(0, len(pixels), line))
    stored = b""
    for first in range(0, len(rows), _STORED):
        part = rows[first : first + _STORED]
        last = first + _STORED >= len(rows)
        stored += struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part
    body = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if color else 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def _write_scenes(folder: Path) -> None:
    """Digits on backgrounds, with their boxes."""
    imported("tfedge.inputs.images.scenes:write")(folder)  # needs numpy


_WRITERS = {"digits": _write_digits, "messages": messages.write, "scenes": _write_scenes}
