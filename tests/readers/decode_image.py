"""A decoder behind pipes, for the stand-in of BitmapFactory in kotlin/: an image as it is stored.

A question: a sample size and a length (4 bytes each, big-endian), and as many bytes of a file. The
answer: the MIME type after its length (2 bytes), width and height (4 bytes each), RGBA; only an
empty MIME type for what is no image. A JPEG is decoded at 1/2, 1/4 or 1/8 by a sample size.
"""

from __future__ import annotations

import struct
import sys
from io import BytesIO

import numpy as np
from PIL import Image


def rgba(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits; transparency stays."""
    if image.mode.startswith("I"):
        levels = np.asarray(image).clip(0, 65535)
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image.convert("RGBA")


def answer(data: bytes, sample: int) -> bytes:
    try:
        image = Image.open(BytesIO(data))
        if sample > 1:
            image.draft(None, (image.width // sample, image.height // sample))
        pixels = rgba(image)
    except OSError:
        return struct.pack(">H", 0)
    mime = str(Image.MIME[str(image.format)]).encode()
    head = struct.pack(">H", len(mime)) + mime + struct.pack(">ii", *pixels.size)
    return head + pixels.tobytes()


while header := sys.stdin.buffer.read(8):
    sample, length = struct.unpack(">ii", header)
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read(length), sample))
    sys.stdout.buffer.flush()
