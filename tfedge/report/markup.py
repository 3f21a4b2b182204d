"""Markdown tables and figures as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfedge.bench.result import Result

NOT_RUN = ["Not run."]


def cell(value: object) -> str:
    """A value as it can stand in a table: one line, no bars that would end the cell."""
    if value is None:
        return "–"
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = [head, rule, *([cell(value) for value in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def size_text(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def milliseconds(result: Result) -> str:
    """Median ± MAD."""
    digits = 2 if result.summary.median >= 1e6 else 3
    return f"{result.summary.median / 1e6:.{digits}f} ± {result.summary.mad / 1e6:.{digits}f} ms"
