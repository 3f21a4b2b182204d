"""``classify.py``, the example of a drop: one plain file, made of what training uses, too."""

from __future__ import annotations

from functools import cache

from tfedge.portable.assemble import assembled, source
from tfedge.tasks.image_classification.script import classify

NAME = "classify.py"
_PARTS = ("tfedge.portable.golden", "tfedge.portable.levels", "tfedge.portable.images")
_CPU = 'DELEGATE = ""'


@cache
def example(name: str = NAME, delegate: str = "") -> bytes:
    """The script under that name; ``delegate``: edgetpu, or nothing for the CPU."""
    text = assembled(
        source(classify.__name__), [source(part) for part in _PARTS], optional=["numpy"]
    )
    assert text.count(_CPU) == 1
    return text.replace(NAME, name).replace(_CPU, f'DELEGATE = "{delegate}"').encode("utf-8")
