"""What all drops of an image classifier have among their files."""

from __future__ import annotations

from tfedge.tasks.drop import Content

LABELS = "labels.txt"


def labels(content: Content) -> bytes:
    """labels.txt: the names of the classes, one a line, in the order of the scores."""
    return "".join(f"{name}\n" for name in content.facts["classes"]).encode("utf-8")
