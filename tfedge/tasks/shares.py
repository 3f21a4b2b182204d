"""Shares of 1 with their 95 % intervals, as reports of all tasks show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfedge.tasks.blocks import Bars, Block, Figure, between, percent
from tfedge.tasks.paired import wilson


def with_interval(share: float | None, interval: tuple[float, float] | None) -> str:
    """``78.5 % [71.0, 83.2]``; without an interval the share alone."""
    return percent(share) if interval is None else f"{percent(share)} {between(interval)}"


def share_bars(figures: Mapping[str, Sequence[tuple[str, float | None, int]]]) -> list[Block]:
    """Bars of shares, each with what it is of, for each title; lines are 95 % intervals. A share
    that is not known is left out."""
    blocks: list[Block] = []
    for title, rows in figures.items():
        known = [(name, share, n) for name, share, n in rows if share is not None and n]
        intervals = [wilson(round(share * n), n) for _, share, n in known]
        plot = Bars([(name, share, percent(share)) for name, share, _ in known], 1.0, intervals)
        blocks += [Figure(f"{title}; lines: 95 % intervals (Wilson)", plot)] if known else []
    return blocks
