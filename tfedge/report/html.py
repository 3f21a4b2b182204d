"""A report as one page of HTML that needs nothing beside it: no script, no network."""

from __future__ import annotations

import base64
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup as Html

from tfedge.report.document import FOLDED, Document
from tfedge.tasks.blocks import Box, Held, Markup, Picture, Pictures, unescaped

_SHORT, _LONG = 24, 80  # characters of a cell that stay on one line, or are a text of their own
_PAGE = Path(__file__).parent / "page"


def text(report: Document) -> str:
    """The whole file."""
    with _unheard("matplotlib"):
        page: str = _template().render(report=report, style=_style())
    return page


@contextmanager
def _unheard(library: str) -> Iterator[None]:
    """Without what it remarks, from its import on: of fonts and of folders for its cache."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@cache
def _template() -> jinja2.Template:
    from tfedge.report import figures

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.globals |= {"kind": _kind, "inline": _inline, "value": _value}
    environment.globals |= {"bars": figures.bars, "svg": figures.svg}
    environment.globals |= {"uri": _uri, "shade": _shade}
    environment.globals |= {"alt": _alt, "outline": _outline}
    environment.globals |= {"found_boxes": _found_boxes}
    environment.globals |= {"fold": FOLDED, "short": _SHORT, "long": _LONG}
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


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _alt(picture: Picture) -> str:
    """What is to be seen, for who can't."""
    counts = Counter[str](box.state for box in picture.boxes)
    drawn = {"there": "there", "right": "found rightly", "wrong": "found wrongly"}
    told = [f"{counts[state]} {what}" for state, what in drawn.items() if counts[state]]
    return f"{picture.name} as the model sees it" + (f", boxes: {', '.join(told)}" if told else "")


def _found_boxes(block: Pictures) -> bool:
    """Whether boxes are drawn that must be told from those that are there."""
    return any(box.state != "there" for one in block.pictures for box in one.boxes)


def _outline(box: Box) -> str:
    """A path of SVG, in per cent of the image's sides."""
    left, top, right, bottom = (f"{100 * side:.4g}" for side in box.corners)
    return f"M{left} {top}H{right}V{bottom}H{left}Z"


def _shade(row: Sequence[object], place: int) -> int:
    """How strong the color of a cell of counts is, in per cent: the root of its share of its row,
    so that a few are seen, too."""
    counts = [count for count in row[1:] if isinstance(count, int)]
    count = row[place]
    return round(100 * math.sqrt(count / sum(counts))) if isinstance(count, int) and count else 0


def _value(value: object) -> Html | str:
    """A cell or an item: Markdown of ours, or text as it is."""
    if isinstance(value, Held):
        return Html('<span class="{}">{}</span>').format("good" if value.held else "bad", value)
    text = unescaped(value)
    return _inline(text) if isinstance(text, Markup) else text
