"""What drops of an image classifier take as it is. Imports no numpy: a check asks whether it is
other text."""

from __future__ import annotations

from pathlib import Path

from tfedge.files.template import texts as templates
from tfedge.tasks.classification.copied import shared
from tfedge.tasks.image_classification.script import EXAMPLE

TEMPLATES = Path(__file__).parent / "templates"


def texts() -> dict[str, bytes]:
    """The templates, and what the script is made of that is one file in a drop."""
    return {**shared(), **templates(TEMPLATES), EXAMPLE.name: EXAMPLE.ingredients()}
