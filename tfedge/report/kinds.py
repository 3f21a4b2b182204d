"""Where a model's time goes: the ops of a profile by their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_SHOWN = 12  # kinds of op; what is left is one more


class Kind(NamedTuple):
    """``ops`` of it took ``ns`` nanoseconds together, ``share`` of the whole. Where the profile
    took differences, either may come out a little below zero."""

    op: str
    ops: int
    ns: float
    share: float
    kinds: int = 1

    @property
    def named(self) -> str:
        """With how many ops there are, but not where kinds are counted already."""
        return f"{self.ops} {self.op}" if self.kinds == 1 else self.op


def kinds(profile: Mapping[str, Any]) -> list[Kind]:
    """The kinds of op of a profile, as it has them, and those after the twelfth as one."""
    every = [Kind(row["op"], row["count"], row["ns"], row["share"]) for row in profile["types"]]
    rest = every[_SHOWN:]
    return every[:_SHOWN] + ([_together(rest)] if rest else [])


def _together(found: Sequence[Kind]) -> Kind:
    return Kind(
        f"{len(found)} other kinds" if len(found) > 1 else found[0].op,
        sum(kind.ops for kind in found),
        sum(kind.ns for kind in found),
        sum(kind.share for kind in found),
        len(found),
    )
