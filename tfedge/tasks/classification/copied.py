"""What the drops of all classifiers take as it is. Imports no numpy."""

from __future__ import annotations

from pathlib import Path

from tfedge.files.template import texts
from tfedge.tasks import copied

TEMPLATES = Path(__file__).parent / "templates"


def shared() -> dict[str, bytes]:
    """The templates, by names that no task's own have, and those of all tasks."""
    own = {f"shared/{name}": content for name, content in texts(TEMPLATES).items()}
    return copied.shared() | own
