"""What the drops of all tasks take as it is. Imports no numpy."""

from __future__ import annotations

from pathlib import Path

from tfedge.files.template import texts

TEMPLATES = Path(__file__).parent / "templates"


def shared() -> dict[str, bytes]:
    """The templates, by names that no task's own have."""
    return {f"every/{name}": content for name, content in texts(TEMPLATES).items()}
