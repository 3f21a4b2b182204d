"""Blocks of a report in a terminal: tables as columns, without Markdown's marks and without
figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

from tfedge.files.files import shown
from tfedge.files.text import WIDTH, columns
from tfedge.tasks.blocks import (
    Block,
    Bullets,
    Code,
    Figure,
    Heading,
    Markup,
    Pictures,
    Table,
    Text,
    cell,
)

_MARKS = re.compile(r"\\([\\`*_|~$\[\]#<>-])|[*`]+")


def plain(blocks: Iterable[Block]) -> list[str]:
    """Lines, an empty one before each block."""
    lines: list[str] = []
    for block in blocks:
        if not isinstance(block, (Figure, Pictures)):  # the table beside it says the same
            lines += ["", *_lines(block)]
    return lines


def _lines(block: Text | Bullets | Table | Heading | Code) -> Iterator[str]:
    match block:
        case Text() | Heading():
            yield from wrap(_unmarked(block.text), WIDTH)
        case Bullets():
            for item in block.items:
                yield from wrap(shown(item), WIDTH, initial_indent="- ", subsequent_indent="  ")
        case Table():
            yield from columns([[_cell(one) for one in row] for row in (block.head, *block.rows)])
        case Code():
            yield from block.text.splitlines()


def _cell(value: object) -> str:
    if value is None or isinstance(value, Markup):
        return _unmarked(cell(value))
    return shown(" ".join(str(value).split()))


def _unmarked(text: str) -> str:
    return _MARKS.sub(r"\1", text).replace("&lt;", "<").replace("&amp;", "&")
