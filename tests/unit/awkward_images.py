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


def sixteen_bit_rgb(pixels: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow can't write."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


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
    deep = rng.integers(0, 65536, (61, 90, 3)).astype(np.uint16)
    (folder / "deep_rgb.png").write_bytes(sixteen_bit_rgb(deep))
    (folder / "wrong_name.png").write_bytes((folder / "large.jpg").read_bytes())
    return [*made, folder / "deep_rgb.png", folder / "wrong_name.png"]
