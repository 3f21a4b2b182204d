"""A report as Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterable

from tfedge.report.document import FOLDED, Document
from tfedge.report.markup import render
from tfedge.tasks.blocks import Block, Heading, Table, cell


def text(report: Document) -> str:
    """The whole file; long tables are folded, where who shows it can."""
    lines = [f"# {cell(report.title)}", "", *render(report.head)]
    for part in report.parts:
        lines += ["", f"## {cell(part.title)}", *_folded(part.title, part.blocks)]
    return "\n".join(lines) + "\n"


def _folded(title: str, blocks: Iterable[Block]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        shown = render([block])
        if isinstance(block, Heading):
            title = block.text
        if isinstance(block, Table) and len(block.rows) > FOLDED:
            of = f"{title}, {block.head[0]}" if block.head[0] else title
            summary = f"<summary>{html.escape(of)}: {len(block.rows)} rows</summary>"
            shown = ["<details>", summary, "", *shown, "", "</details>"]
        lines += ["", *shown] if shown else []
    return lines
