"""``classify.py``, the example of a drop: one plain file, made of what training uses, too."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tfedge.portable.assemble import assembled, ingredients, source

NAME = "classify.py"
_PARTS = (
    "tfedge.portable.golden",
    "tfedge.portable.pieces",
    "tfedge.portable.wordpiece",
    "tfedge.portable.bpe",
    "tfedge.portable.tokenizers",
    "tfedge.portable.dropped",
)
_MAIN = f"{__name__}.classify"


def example_ingredients() -> bytes:
    """All that it is made of, this file as well."""
    return f"{Path(__file__).read_text('utf-8')}\0{ingredients(_MAIN, _PARTS)}".encode()


@cache
def example() -> bytes:
    """The script."""
    parts = [source(part) for part in _PARTS]
    return assembled(source(_MAIN), parts, optional=["numpy"]).encode("utf-8")
