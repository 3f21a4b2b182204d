"""A report on a terminal, or as plain text: the same parts as report.md and report.html."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TextIO

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text as Line

from tfedge.files.terminal import draws, printable
from tfedge.files.text import sparkline
from tfedge.report.document import Document
from tfedge.tasks.blocks import (
    Bars,
    Block,
    Bullets,
    Code,
    Curves,
    Figure,
    Heading,
    Markup,
    Panels,
    Places,
    Points,
    Strips,
    Table,
    Text,
    unescaped,
)

_NO_EDGE = 1_000_000  # columns: nothing is wrapped or cut
_BAR = 30  # columns of a whole bar, and of a curve
_STYLES = {"strong": "bold", "em": "italic"}
_INLINE = MarkdownIt("commonmark", {"html": False}).disable(["image", "autolink"])


def write(report: Document, stream: TextIO) -> None:
    """Print the whole report. On a terminal tables and paragraphs are as wide as it is; elsewhere
    there are neither colours nor line breaks inside of a paragraph or a row."""
    if draws(stream):
        _print(report, Console(file=stream, force_terminal=True, highlight=False))
        return
    for line in _without_colors(partial(_print, report)):
        stream.write(f"{line}\n")


def plain(blocks: Iterable[Block]) -> list[str]:
    """Lines of text, an empty one before each block; figures are left out, since tables beside them
    say the same."""
    shown = [block for block in blocks if not isinstance(block, Figure)]
    return _without_colors(partial(_print_blocks, shown))


def _without_colors(print_on: Callable[[Console], None]) -> list[str]:
    """Lines without colors that are as long as they are."""
    text = io.StringIO()
    print_on(Console(file=text, width=_NO_EDGE, color_system=None, highlight=False))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _print(report: Document, console: Console) -> None:
    console.print(_line(report.title, "bold"))
    _print_blocks(report.head, console)
    for part in report.parts:
        console.print("", _line(part.title, "bold"), Line("═" * cell_len(part.title)), sep="\n")
        _print_blocks(part.blocks, console)


def _print_blocks(blocks: Iterable[Block], console: Console) -> None:
    for shown in _rendered(blocks):
        console.print("", shown, sep="\n")


def _rendered(blocks: Iterable[Block]) -> Iterator[RenderableType]:
    for block in blocks:
        match block:
            case Text():
                yield _inline(block.text)
            case Bullets():
                yield Group(*(_bullet(item) for item in block.items))
            case Table():
                yield _table(block)
            case Heading():
                yield _line(block.text, "bold")
            case Code():
                lines = [_line(line, "cyan") for line in block.text.splitlines()]
                yield Padding(Group(*lines), (0, 0, 0, 2))
            case Figure():
                yield from _figure(block)


def _bullet(item: str) -> Grid:
    grid = Grid.grid(padding=(0, 1, 0, 0))
    grid.add_row("-", _value(item))
    return grid


def _table(block: Table) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(block.head):
        grid.add_column(_value(name), justify="right" if number else "left", overflow="fold")
    for row in block.rows:
        grid.add_row(*map(_value, row))
    return grid


def _figure(figure: Figure) -> Iterator[RenderableType]:
    """Bars and curves; the others would need a plane."""
    match figure.plot:
        case Bars():
            yield _titled(figure.title, _bars(figure.plot))
        case Panels():
            for name, bars in figure.plot.panels:
                yield _titled(f"{figure.title}: {name}", _bars(bars))
        case Curves():
            yield _titled(figure.title, _curves(figure.plot))
        case Points() | Strips() | Places():
            return


def _titled(title: str, rows: Iterable[tuple[RenderableType, ...]]) -> Grid:
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.title, grid.title_style, grid.title_justify = printable(title), "dim", "left"
    for row in rows:
        grid.add_row(*row)
    return grid


def _bars(plot: Bars) -> Iterator[tuple[RenderableType, ...]]:
    most = plot.most or max((value for _, value, _ in plot.rows), default=0.0) or 1.0
    for name, value, text in plot.rows:
        bar = "█" * round(_BAR * min(1.0, value / most))
        yield _line(name), Line(bar.ljust(_BAR), "cyan"), _line(text)


def _curves(plot: Curves) -> Iterator[tuple[RenderableType, ...]]:
    for name, points in plot.curves.items():
        values = [y for _, y in points]
        curve = Line(sparkline(values, _BAR).ljust(_BAR), "cyan")
        yield _line(name), curve, _line(f"{plot.y} {values[0]:.4g} → {values[-1]:.4g}")


def _value(value: object) -> Line:
    """A cell or an item: Markdown of ours, or text as it is."""
    text = unescaped(value)
    return _inline(text) if isinstance(text, Markup) else _line(text)


def _line(text: str, style: str = "") -> Line:
    return Line(printable(text), style)


def _inline(markdown: str) -> Line:
    """A paragraph's Markdown as text with styles."""
    said, styles = Line(), []
    for token in _tokens(markdown):
        kind, _, end = token.type.rpartition("_")
        if end == "open":
            styles.append(_STYLES.get(kind, ""))
        elif end == "close":
            styles.pop()
        elif token.type in ("softbreak", "hardbreak"):
            said.append(" ")
        else:
            style = "cyan" if token.type == "code_inline" else " ".join(filter(None, styles))
            said.append(printable(token.content), style)
    return said


def _tokens(markdown: str) -> list[Token]:
    (paragraph,) = _INLINE.parseInline(markdown)
    return paragraph.children or []
