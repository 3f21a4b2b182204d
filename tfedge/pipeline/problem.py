"""One thing that is wrong with a pipeline, as the rules say it."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """``key`` is where to look; ``uses`` are the other keys the rule read."""

    key: str
    text: str
    uses: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Every key that the rule looked at."""
        return (self.key, *self.uses)
