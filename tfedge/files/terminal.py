"""Text for a stream of any encoding: what it does not have is written in another way. And what else
depends on where a stream leads."""

from __future__ import annotations

import codecs
import os
from typing import Any, TextIO

READABLE = "tfedge-readable"  # for ``errors`` of a stream
_ASCII = "tfedge_ascii"
# How what is set in type here looks on a typewriter.
_TYPED = str.maketrans(
    {"→": "->", "×": "x", "±": "+-", "–": "-", "—": "-", "−": "-", "…": "...", "·": "*"}
    | dict(zip("▁▂▃▄▅▆▇█─━═✓✗›", "_.-=+*#@--=+x>", strict=True))
    | {"‘": "'", "’": "'", "“": '"', "”": '"', "≥": ">=", "≤": "<=", "µ": "u", "\u00a0": " "}
)


def _readable(error: UnicodeError) -> tuple[str, int]:
    """A simpler form, or else the number of the character: two names stay two names."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_TYPED)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII under a name of ours: click takes a stream that says "ascii" for one that was set up by
    mistake, and writes UTF-8 to it."""
    if name != _ASCII:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(
        found.encode,
        found.decode,
        found.streamreader,
        found.streamwriter,
        found.incrementalencoder,
        found.incrementaldecoder,
        name=_ASCII,
    )


codecs.register_error(READABLE, _readable)
codecs.register(_ascii)


def draws(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which lines can be drawn over, and coloured."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def printable(text: str) -> str:
    """The text without what a terminal would not show but obey: a question mark stands for it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def encoding_of(stream: Any) -> str:
    """That of a stream, for another one that goes to the same place; UTF-8 where it has none."""
    found = getattr(stream, "encoding", None) or "utf-8"
    return _ASCII if codecs.lookup(found).name == "ascii" else found
