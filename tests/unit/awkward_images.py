"""One set of images that decoders are apt to read in different ways.

Whatever decodes images is held to the same set: the device script, ``classify.py``, the Kotlin.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from data_helpers import noise
from PIL import Image

FITS = ("crop", "stretch", "pad")
SIZES = (32, 97)
LEVELS = (None, (2000, 50000), (65000, 65001))  # (black, white) of 16 bits


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
ADAM7 = (*ADAM7, (1, 0, 2, 1))  # first row and column, and the steps from there


def sixteen_bits(pixels: np.ndarray, interlaced: bool = False, filters: str = "0") -> bytes:
    """A PNG of 16 bits a channel, of which Pillow writes the grey one alone.

    ``pixels`` [height, width, 1 to 4]; the rows take the filters in turn.
    """
    height, width, channels = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    whole = ((0, 0, 1, 1),)
    passes = [pixels[y::dy, x::dx] for y, x, dy, dx in (ADAM7 if interlaced else whole)]
    rows = b"".join(_filtered(one, filters) for one in passes if one.size)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _filtered(pixels: np.ndarray, filters: str) -> bytes:
    step = 2 * pixels.shape[2]
    stored = pixels.astype(">u2").view(np.uint8).reshape(len(pixels), -1).astype(int)
    up = np.concatenate([np.zeros_like(stored[:1]), stored[:-1]])
    left, corner = (np.pad(one, ((0, 0), (step, 0)))[:, :-step] for one in (stored, up))
    far = np.abs(np.stack([up - corner, left - corner, left + up - 2 * corner]))
    paeth = np.take_along_axis(np.stack([left, up, corner]), far.argmin(0)[None], 0)[0]
    guesses = (np.zeros_like(stored), left, up, (left + up) // 2, paeth)
    kinds = [int(filters[row % len(filters)]) for row in range(len(stored))]
    rows = [(stored[row] - guesses[kind][row]) % 256 for row, kind in enumerate(kinds)]
    return b"".join(bytes([kind, *row]) for kind, row in zip(kinds, rows, strict=True))


def sixteen_bit_rgb(pixels: np.ndarray) -> bytes:
    """A 16-bit RGB PNG."""
    return sixteen_bits(pixels)


def awkward_images(folder: Path) -> list[Path]:
    """A file of each kind that the decoder turns into RGB, made in the folder."""
    made = []

    def save(name: str, image: Image.Image, **options: object) -> None:
        path = folder / name
        image.save(path, **options)
        made.append(path)

    color, wide = noise(1, 61, 90), noise(2, 700, 900)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"exif{orientation}.jpg", color, exif=exif)
        save(f"exif{orientation}.png", color, exif=exif)
    save("large.jpg", wide, quality=90)
    save("tall.jpg", wide.transpose(Image.Transpose.ROTATE_90))
    save("cmyk.jpg", color.convert("CMYK"))
    save("grey.jpg", color.convert("L"))
    save("grey.png", color.convert("L"))
    save("bits.png", color.convert("1"))
    save("alpha.png", Image.merge("RGBA", (*color.split(), noise(3, 61, 90).split()[0])))
    save("grey_alpha.png", Image.merge("LA", (color.convert("L"), noise(4, 61, 90).split()[0])))
    save("palette.png", color.quantize(16))
    save("palette_clear.png", color.quantize(16), transparency=3)
    save("clear_grey.png", color.convert("L"), transparency=100)
    rng = np.random.default_rng(5)
    save("deep.png", Image.fromarray(rng.integers(0, 65536, (61, 90)).astype(np.uint16)))
    save("one.png", noise(8, 1, 1))
    save("thin.png", noise(9, 7, 200))
    save("a.bmp", color)
    save("a.webp", color)
    save("alpha.webp", Image.merge("RGBA", (*color.split(), noise(6, 61, 90).split()[0])))
    save("a.gif", color)
    save("film.gif", color.quantize(8), save_all=True, append_images=[noise(7, 61, 90).quantize(8)])
    deep = rng.integers(0, 65536, (61, 90, 4)).astype(np.uint16)
    files = {
        "deep_rgb.png": sixteen_bits(deep[:, :, :3]),
        "deep_filters.png": sixteen_bits(deep[:, :, :3], filters="01234"),
        "deep_woven.png": sixteen_bits(deep[:, :, :1], interlaced=True, filters="41203"),
        "deep_thin.png": sixteen_bits(deep[:, :2], interlaced=True, filters="3"),
        "deep_alpha.png": sixteen_bits(deep, filters="4"),
        "deep_grey_alpha.png": sixteen_bits(deep[:, :, 2:]),
        "wrong_name.png": (folder / "large.jpg").read_bytes(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [*made, *(folder / name for name in files)]
