"""``detect.py``, the example of a drop: one plain file, made of what training uses, too."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tfedge.portable.assemble import assembled, ingredients, source

NAME = "detect.py"
_PARTS = (
    *("tfedge.portable.golden", "tfedge.portable.boxes", "tfedge.portable.levels"),
    *("tfedge.portable.images", "tfedge.portable.dropped", "tfedge.portable.drawing"),
)
_MAIN = f"{__name__}.detect"
_CPU = 'DELEGATE = ""'


def example_ingredients() -> bytes:
    """All that it is made of, this file as well."""
    return f"{Path(__file__).read_text('utf-8')}\0{ingredients(_MAIN, _PARTS)}".encode()


@cache
def example(name: str = NAME, delegate: str = "") -> bytes:
    """The script under that name; ``delegate``: edgetpu, or nothing for the CPU."""
    text = assembled(source(_MAIN), [source(part) for part in _PARTS], optional=["numpy"])
    assert text.count(_CPU) == 1
    return text.replace(NAME, name).replace(_CPU, f'DELEGATE = "{delegate}"').encode("utf-8")
