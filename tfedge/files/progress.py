"""What long work reports its progress on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Where long work says how far it is. Drawn by ``core/progress.py``; silent in unit tests."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        """``done`` of ``total`` (images, steps …); rate and time left are worked out from it."""

    def note(self, text: str) -> None:
        """One line the user should read: a decision, a warning, a measured number."""


class NoProgress:
    """Progress that says nothing."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        return

    def note(self, text: str) -> None:
        return
