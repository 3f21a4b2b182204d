"""The phases of a model on the way to the file that ships: how good each is, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from tfedge.core.outputs import Change, Phase
from tfedge.report.facts import Facts
from tfedge.tasks.blocks import Block, Table, Text, p_text, percent

_LINE = "phases   "


def line(facts: Facts, width: int) -> list[str]:
    """For the terminal: ``head 81.1 % → float 83.8 % (p 0.03) → …``, in lines of ``width``."""
    rows, metric = _rows(facts), facts.task.primary
    if len(rows) < 2:
        return []
    # No line breaks inside of what is said of one phase.
    said = [
        f"{row.phase} {metric.figure(row.value(metric))}{_p(row)}".replace(" ", "\0")
        for row in rows
    ]
    text = " → ".join(said)
    lines = wrap(text, width, initial_indent=_LINE, subsequent_indent=" " * len(_LINE))
    return [part.replace("\0", " ") for part in lines]


def section(facts: Facts) -> list[Block]:
    """For the report: a row each, against the one before."""
    rows, metric = _rows(facts), facts.task.primary
    if len(rows) < 2:
        return []
    head = ["phase", metric.label, "agreement with float", "n", "against"]
    head += ["better on", "worse on", "p"]
    cells: list[list[object]] = [
        [
            row.phase,
            metric.figure(row.value(metric)),
            percent(row.agreement),
            row.n,
            row.against,
            *_change(row.change),
        ]
        for row in rows
    ]
    last = rows[-1]
    if last.change_from_float:
        cells.append([last.phase, "", "", last.n, "float", *_change(last.change_from_float)])
    return [
        Table(head, cells),
        Text(
            "All on the same examples; p: how likely a difference as large is by chance (exact "
            "McNemar test, two-sided)."
        ),
    ]


def _rows(facts: Facts) -> Sequence[Phase]:
    return facts.metrics.phases if facts.metrics else []


def _p(row: Phase) -> str:
    return "" if row.p is None else f" (p {p_text(row.p)})"


def _change(change: Change | None) -> list[object]:
    return [change.gained, change.lost, p_text(change.p)] if change else [None, None, None]
