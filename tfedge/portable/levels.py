"""PNG images of 16 bits a channel: their levels, and which of them become black and white.

The decoder takes the upper 8 bits. A camera of 10, 12 or 14 bits in 16 leaves next to nothing up
there, and neither does a thermal one whose image is a few hundred levels in the middle; then
``levels``, (black, white), says what is spread over 0 to 255.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Sequence

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow's mode of each colour type, and how it reads the lower byte of each of its channels.
_MODES = {2: ("RGB", "RGB;16L"), 6: ("RGBA", "RGBA;16L")}
_GREY, _GREY_ALPHA = 0, 4


def is_deep(data: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel."""
    return data.startswith(_SIGNATURE) and len(data) > 33 and data[24] == 16


def deep_levels(data: bytes) -> Any:
    """The levels of such a file: uint16 [height, width, channels], transparency the last of 2 or 4.

    Pillow's errors for damaged files.
    """
    kind = data[25]
    if kind == _GREY:
        return np.asarray(_opened(data)).astype(np.uint16)[:, :, None]
    if kind == _GREY_ALPHA:  # its four bytes a pixel are read as four channels of 8 bits
        bytes_of = np.asarray(_opened(data, "RGBA", "RGBA")).astype(np.uint16)
        return bytes_of[:, :, ::2] << 8 | bytes_of[:, :, 1::2]
    mode, lower = _MODES[kind]
    upper = np.asarray(_opened(data)).astype(np.uint16)
    return upper << 8 | np.asarray(_opened(data, mode, lower)).astype(np.uint16)


def in_eight_bits(data: bytes, levels: Sequence[int] | None) -> bytes:
    """Such a file as a PNG of 8 bits: black and everything below to 0, white and above to 255.

    None: the upper 8 bits. The EXIF block stays.
    """
    from PIL import Image

    deep = deep_levels(data)
    alpha = deep.shape[2] in (2, 4)
    spread = spread_levels(deep, levels)
    if alpha:  # transparency has the whole range
        spread[:, :, -1] = deep[:, :, -1] >> 8
    file = BytesIO()
    image = Image.fromarray(spread[:, :, 0] if spread.shape[2] == 1 else spread)
    image.save(file, "PNG", compress_level=0, exif=_opened(data).getexif())
    return file.getvalue()


def spread_levels(deep: Any, levels: Sequence[int] | None) -> Any:
    """uint16 to uint8, as ``in_eight_bits``."""
    if levels is None:
        return (deep >> 8).astype(np.uint8)
    black, white = levels
    scaled = (deep.astype(np.int64) - black) * 255 + (white - black) // 2
    return np.clip(scaled // (white - black), 0, 255).astype(np.uint8)


def _opened(data: bytes, mode: str = "", raw: str = "") -> Any:
    """The image; with ``raw`` its bytes are read another way than Pillow would."""
    from PIL.PngImagePlugin import PngImageFile

    image: Any = PngImageFile(BytesIO(data))
    if raw:
        codec, box, offset, _ = image.tile[0]
        image.tile = [(codec, box, offset, raw)]
        if hasattr(image, "_mode"):
            image._mode = mode
        else:  # before Pillow 10.1
            image.mode = mode
    return image
