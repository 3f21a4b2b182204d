"""A report as one page of HTML that needs nothing beside it: no script, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup as Html

from tfedge.report import figures
from tfedge.report.document import Document
from tfedge.tasks.blocks import Markup, cell

FOLDED = 16  # rows; a longer table is folded
_SHORT = 24  # characters of a cell that stay on one line
_PAGE = Path(__file__).parent / "page"


def text(report: Document) -> str:
    """The whole file."""
    page: str = _template().render(report=report, style=_style())
    return page


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.globals |= {"kind": _kind, "inline": _inline, "value": _value}
    environment.globals |= {"bars": figures.bars, "chart": figures.chart}
    environment.globals |= {"width": figures.WIDTH, "height": figures.HEIGHT}
    environment.globals |= {"fold": FOLDED, "short": _SHORT}
    return environment.from_string((_PAGE / "report.html.txt").read_text("utf-8"))


def _style() -> Html:
    return Html((_PAGE / "style.css.txt").read_text("utf-8").strip())  # noqa: S704 (ours alone)


def _kind(block: object) -> str:
    return type(block).__name__


@cache
def _markdown() -> MarkdownIt:
    """Without tags of its own: what stands in Markdown as < is shown as <."""
    return MarkdownIt("commonmark", {"html": False}).disable(["image", "autolink"])


def _inline(markdown: str) -> Html:
    """A paragraph's Markdown; the parser escapes whatever is no markup."""
    return Html(_markdown().renderInline(markdown))  # noqa: S704 (escaped by the parser)


def _value(value: object) -> Html | str:
    """A cell or an item: Markdown of ours, or text as it is."""
    if isinstance(value, Markup):
        return _inline(value.replace("\\|", "|"))  # as tables of Markdown have it
    return str(cell(None)) if value is None else " ".join(str(value).split())
