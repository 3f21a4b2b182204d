"""``detect.py``, the example of a drop: one plain file, made of what training uses, too."""

from __future__ import annotations

from tfedge.portable.assemble import Example

_PARTS = (
    *("tfedge.portable.golden", "tfedge.portable.boxes", "tfedge.portable.levels"),
    *("tfedge.portable.images", "tfedge.portable.dropped", "tfedge.portable.drawing"),
)
EXAMPLE = Example("detect.py", f"{__name__}.detect", _PARTS)
