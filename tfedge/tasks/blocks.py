"""What a report is made of, whatever it is rendered to.

Text in blocks is Markdown of one paragraph: emphasis, code and links. Cells of a table are plain
values; None is a figure that there is none of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list; its items are shown as they are, not as Markdown."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """The first column names what a row is of, the others hold its figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


Block = Text | Bullets | Table


@dataclass(frozen=True)
class Part:
    """A titled section of a report."""

    title: str
    blocks: Sequence[Block]


def cell(value: object) -> str:
    """A value as it can stand in a line or a table of Markdown: one line, no bars that would end a
    cell, no tags. A dash for None."""
    if value is None:
        return "–"
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def percent(share: float | None) -> str:
    """``81.1 %``; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def p_text(p: float) -> str:
    """A probability in two digits."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
