"""The phases of a model on the way to the file that ships: how good each is, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from tfedge.report.facts import Facts
from tfedge.report.markup import table
from tfedge.tasks.blocks import p_text, percent

_LINE = "phases   "


def line(facts: Facts, width: int) -> list[str]:
    """For the terminal: ``head 81.1 % → float 83.8 % (p 0.03) → …``, in lines of ``width``."""
    rows, metric = _rows(facts), facts.task.primary
    if len(rows) < 2:
        return []
    # No line breaks inside of what is said of one phase.
    said = [
        f"{row['phase']} {metric.figure(row[metric.key])}{_p(row)}".replace(" ", "\0")
        for row in rows
    ]
    text = " → ".join(said)
    lines = wrap(text, width, initial_indent=_LINE, subsequent_indent=" " * len(_LINE))
    return [part.replace("\0", " ") for part in lines]


def section(facts: Facts) -> list[str]:
    """For the report: a row each, against the one before."""
    rows, metric = _rows(facts), facts.task.primary
    if len(rows) < 2:
        return []
    head = ["phase", metric.label, "agreement with float", "n", "against"]
    head += ["better on", "worse on", "p"]
    cells = [
        [
            row["phase"],
            metric.figure(row[metric.key]),
            percent(row["agreement"]),
            row["n"],
            *_change(row, row["against"], ""),
        ]
        for row in rows
    ]
    last = rows[-1]
    if "p_float" in last:
        cells.append([last["phase"], "", "", last["n"], *_change(last, "float", "_float")])
    return [
        *table(head, cells),
        "",
        "All on the same examples; p: how likely a difference as large is by chance (exact McNemar "
        "test, two-sided).",
    ]


def _rows(facts: Facts) -> list[Mapping[str, Any]]:
    return list((facts.metrics or {}).get("phases", []))


def _p(row: Mapping[str, Any]) -> str:
    return "" if row["p"] is None else f" (p {p_text(row['p'])})"


def _change(row: Mapping[str, Any], against: str | None, which: str) -> list[Any]:
    p = row[f"p{which}"]
    counts = [row[f"gained{which}"], row[f"lost{which}"]]
    return [against, *counts, None if p is None else p_text(p)]
