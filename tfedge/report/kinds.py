"""Where a model's time goes: the ops of a profile by their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_SHOWN = 12  # kinds of op; what is left is one more row


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
    if len(every) <= _SHOWN + 1:
        return every
    _, ops, ns, shares, _ = zip(*every[_SHOWN:], strict=True)
    rest = Kind(f"{len(ops)} other kinds", sum(ops), sum(ns), sum(shares), len(ops))
    return [*every[:_SHOWN], rest]
