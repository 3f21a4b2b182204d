"""Things that are named in text, so that they are imported when they are needed and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def imported(reference: str) -> Any:
    """What ``"module:name"`` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
