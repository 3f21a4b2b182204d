"""An image file to square RGB pixels. Everything that trains or runs a model sees these.

What happens, in this order:

1. JPEG, PNG, BMP, WebP or GIF (first frame), told by the first bytes, never by the name;
2. more than 100 megapixels are refused from the header, before a pixel is decoded;
3. a JPEG whose shorter side is 4 × ``size`` or more is decoded at 1/2, 1/4 or 1/8, never below
   2 × ``size``: ``image.draft(None, (2 * size, 2 * size))``, which leaves all others alone;
4. the EXIF orientation is obeyed;
5. grey, palette, CMYK (Adobe's inverted kind, as Pillow reads it) become RGB, 16 bits become
   their upper 8, or what ``levels`` makes of them; transparency is laid on **white**; ICC
   profiles are not applied;
6. ``crop``: the largest centred square, resized; ``stretch``: resized, the aspect lost; ``pad``:
   resized to fit, centred on black. Resizing is Pillow's BILINEAR, which averages when it
   shrinks.

Pillow is imported when an image is decoded: the device script also runs where there is none, and
what it measures of memory must not hold a library that it did not need.
"""

from __future__ import annotations

import struct
import threading
import warnings
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from tfedge.portable.levels import in_eight_bits, is_deep

VERSION = 1  # rises when an image would give other pixels: stored pixels go by it

PIXEL_LIMIT = 100_000_000
BYTE_LIMIT = 512 * 2**20  # of the file
_TOO_BIG = f"more than {PIXEL_LIMIT // 1_000_000} megapixels, refused before decoding"
_BIG = 24_000_000  # pixels; above it one at a time, so that many cores don't fill the RAM

_TRANSPOSE = {  # by EXIF orientation
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_PLAIN = {"RGB", "L", "1", "P", "CMYK", "YCbCr", "LA", "PA", "RGBA", "RGBX"}
# What Pillow raises on damaged files, as its own `Image.open` and `verify` expect it.
_DAMAGE = (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, TypeError)
# It warns of junk in EXIF blocks, of which only the orientation matters here.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
_one_big = threading.Lock()


class BadImage(ValueError):
    """A file that is no image we can read. ``reason`` says why, without the file's name."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason


def decode(
    source: Path | bytes, size: int, fit: str, levels: Sequence[int] | None = None
) -> np.ndarray:
    """The image as uint8 [size, size, 3] RGB; ``fit``: crop, stretch or pad; ``levels``: of 16 bits
    a channel those that become black and white.

    Raises BadImage for whatever is no good image.
    """
    from PIL import Image

    name = "" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read(source)
        image = _open(data, size)
        big = image.width * image.height > _BIG
        with _one_big if big else nullcontext():
            if levels and is_deep(data):
                image = _open(in_eight_bits(data, levels), size)
            return np.array(_square(_rgb(_upright(image)), size, fit))
    except BadImage as error:
        raise BadImage(error.reason, name) from error
    except Image.DecompressionBombError as error:  # a frame bigger than the header said
        raise BadImage(_TOO_BIG, name) from error
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}", name) from error


def upright(data: bytes) -> Any:
    """The whole image of a file's bytes as Pillow has it, RGB, as it is seen. BadImage."""
    try:
        return _rgb(_upright(_open(data, PIXEL_LIMIT)))
    except BadImage:
        raise
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}") from error


def read(path: Path) -> bytes:
    """The file's bytes. Raises BadImage when it is too big for an image, or can't be read."""
    try:
        if path.stat().st_size > BYTE_LIMIT:
            raise BadImage(f"bigger than {BYTE_LIMIT // 2**20} MB")
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f"can't be read: {error.strerror}") from error


def _open(data: bytes, size: int) -> Any:
    """The header only. The plugins are called directly: no other format is ever tried."""
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    file = BytesIO(data)
    image: Any
    if not data:
        raise BadImage("empty file")
    if data.startswith(b"\xff\xd8\xff"):
        image = JpegImageFile(file)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        image = PngImageFile(file)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        image = GifImageFile(file)
    elif data.startswith(b"BM"):
        image = BmpImageFile(file)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        image = WebPImageFile(file)
    else:
        raise BadImage("not an image (JPEG, PNG, BMP, WebP and GIF are read)")
    width, height = image.size
    if width * height > PIXEL_LIMIT:
        raise BadImage(f"{width}×{height} pixels: {_TOO_BIG}")
    image.draft(None, (2 * size, 2 * size))  # JPEG: the smallest scale that leaves that much
    return image


def _upright(image: Any) -> Any:
    name = _TRANSPOSE.get(image.getexif().get(0x0112, 1))
    return image if name is None else image.transpose(_constant("Transpose", name))


def _constant(kind: str, name: str) -> Any:
    """``Image.Transpose.ROTATE_90``; before Pillow 9.1 the constants stand in the module itself."""
    from PIL import Image

    module: Any = Image
    return getattr(getattr(module, kind, module), name)


def _rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):  # 16-bit grey PNG
        levels = np.asarray(image).clip(0, 65535)
        return Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode not in _PLAIN:
        raise BadImage(f"pixels of kind {image.mode} can't be turned into RGB")
    if _is_transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _is_transparent(image: Any) -> bool:
    """Pillow's ``has_transparency_data``, which came with 10.1."""
    palette = getattr(image.palette, "mode", "") if image.mode == "P" else ""
    return (
        image.mode in ("LA", "PA", "RGBA") or palette.endswith("A") or "transparency" in image.info
    )


def _square(image: Any, size: int, fit: str) -> Any:
    from PIL import Image

    bilinear = _constant("Resampling", "BILINEAR")
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    elif fit == "pad":
        scale = size / max(width, height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = Image.new("RGB", (size, size), "black")
        left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
        canvas.paste(image.resize(inner, bilinear), (left, top))
        return canvas
    return image.resize((size, size), bilinear)
