"""``training.log``: how each epoch of a stage's training went, as text, while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tfedge.core.context import Context
from tfedge.modeling.training.loop import Record

FILE = "training.log"


def recorder(ctx: Context) -> Callable[[str], Record]:
    """Of a part's name (``head``, ``prune`` …): what writes its epochs down."""

    def named(what: str) -> Record:
        return lambda epoch, row: write(ctx, what, [row])

    return named


def write(ctx: Context, what: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows of a training to the stage's log."""
    with (ctx.out / FILE).open("a", encoding="utf-8") as file:
        file.writelines(_line(what, row) for row in rows)


def _line(what: str, row: Mapping[str, Any]) -> str:
    epoch = f", epoch {row['epoch']:.0f}" if "epoch" in row else ""
    figures = [f"{key} {value:.6g}" for key, value in row.items() if key != "epoch"]
    return f"{what}{epoch}: {', '.join(figures)}\n"
