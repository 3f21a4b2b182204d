"""A report as Markdown."""

from __future__ import annotations

from tfedge.report.document import Document
from tfedge.report.markup import render
from tfedge.tasks.blocks import cell


def text(report: Document) -> str:
    """The whole file."""
    lines = [f"# {cell(report.title)}", "", *render(report.head)]
    for part in report.parts:
        lines += ["", f"## {cell(part.title)}", "", *render(part.blocks)]
    return "\n".join(lines) + "\n"
