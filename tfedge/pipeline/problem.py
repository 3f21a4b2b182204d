"""One thing that is wrong with a pipeline, as the rules say it."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """``key`` is where to look, and stands before ``what`` in the message; ``uses`` are the other
    keys that the rule read."""

    key: str
    what: str
    uses: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.key}: {self.what}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Every key that the rule looked at."""
        return (self.key, *self.uses)
