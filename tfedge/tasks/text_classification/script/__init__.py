"""``classify.py``, the example of a drop: one plain file, made of what training uses, too."""

from __future__ import annotations

from tfedge.portable.assemble import Example

_PARTS = (
    *("tfedge.portable.golden", "tfedge.portable.pieces", "tfedge.portable.wordpiece"),
    *("tfedge.portable.bpe", "tfedge.portable.tokenizers", "tfedge.portable.dropped"),
)
EXAMPLE = Example("classify.py", f"{__name__}.classify", _PARTS)
