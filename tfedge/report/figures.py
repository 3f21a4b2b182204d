"""The plots of a report's page: matplotlib draws them as SVG, in the colors of the page that they
stand in. Bars are no drawing: the page's template makes them, as long as they are here.

A figure repeats what a table beside it says: its text for who can't see it is its title alone.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from markupsafe import Markup, escape
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfedge.tasks.blocks import Bars, Curves, Points, Strips

WIDTH, HEIGHT = 380, 250  # of a chart, in units of its own picture
_FONT = 12
_COLUMNS = 55  # of text beside a strip
_STRIP = 64  # how high a strip is, with the text above it
DOTS = 100  # samples of a strip that are drawn
_HEIGHTS = (-0.04, 0.1, 0.02, 0.14, -0.14, 0.06, 0.18, -0.1)  # of dots
_WHISKERS = (5, 95)  # per cent of the samples
_DRAWN = 0.98  # the share of the samples that an axis has room for
_AREA, _LARGEST, _SMALLEST = 80.0, 600.0, 12.0  # of a mark; of the largest and the least area
_FEW = 30  # points of a curve that are marked
_STEPS = (1, 2, 5, 10)  # between the numbers of an axis, times a power of ten

# What matplotlib draws with, and what the page's style sheet says instead.
_INK, _SOFT, _LINE = "#000001", "#000002", "#000003"
_COLORS = ("#000004", "#000005", "#000006")
_OF_PAGE = {
    **{_INK: "var(--ink)", _SOFT: "var(--soft)", _LINE: "var(--line)"},
    **dict(zip(_COLORS, ("var(--one)", "var(--two)", "var(--three)"), strict=True)),
}
_DASHES = ("-", "--", ":")

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "font.size": _FONT,
    "text.color": _INK,
    **{"axes.edgecolor": _LINE, "axes.labelcolor": _SOFT, "axes.titlecolor": _SOFT},
    **{"axes.titlesize": _FONT, "axes.titlelocation": "left", "xaxis.labellocation": "right"},
    **{f"axes.spines.{side}": False for side in ("left", "right", "top")},
    **{"axes.facecolor": "none", "figure.facecolor": "none", "axes.formatter.useoffset": False},
    **{f"{axis}tick.color": _LINE for axis in "xy"},
    **{f"{axis}tick.labelcolor": _SOFT for axis in "xy"},
    **{"axes.grid": True, "axes.grid.axis": "y", "grid.color": _LINE, "axes.axisbelow": True},
    **{"lines.linewidth": 2.0, "legend.frameon": False, "legend.handlelength": 2.4},
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Bar:
    """In per cent of a whole bar."""

    name: str
    length: float
    text: str
    interval: tuple[float, float] | None  # where it begins, and its length


def bars(plot: Bars) -> list[Bar]:
    """From zero to the largest, or to ``most``."""
    ends = [interval[1] for interval in plot.intervals if interval]
    most = plot.most or max([value for _, value, _ in plot.rows] + ends, default=0.0) or 1.0
    intervals = plot.intervals or [None] * len(plot.rows)
    return [
        Bar(name, round(100 * value / most, 2), text, between and _between(between, most))
        for (name, value, text), between in zip(plot.rows, intervals, strict=True)
    ]


def _between(interval: tuple[float, float], most: float) -> tuple[float, float]:
    low, high = interval
    return round(100 * low / most, 2), round(100 * (high - low) / most, 2)


def svg(plot: Curves | Points | Strips, title: str) -> Markup:
    """An ``<svg>`` for a page of HTML, with ``title`` as its text; the same for the same plot."""
    salt = hashlib.sha256(f"{title}\n{plot}".encode()).hexdigest()
    drawn = io.StringIO()
    ours = ["default", _STYLE | {"svg.hashsalt": salt}]  # whatever a matplotlibrc says
    with style.context(ours), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        high = HEIGHT if not isinstance(plot, Strips) else _STRIP * len(plot.rows) + 50
        figure = Figure(figsize=(WIDTH / 72, high / 72), layout="constrained")
        match plot:
            case Curves():
                _curves(figure, plot)
            case Points():
                _points(figure.add_subplot(), plot)
            case Strips():
                _strips(figure.add_subplot(), plot)
        figure.savefig(drawn, format="svg", metadata=_NO_METADATA)
    return _of_page(drawn.getvalue(), title, high)


def _curves(figure: Figure, plot: Curves) -> None:
    axes = figure.add_subplot()
    _name(axes, plot.x, plot.y, (x for line in plot.curves.values() for x, _ in line))
    for number, (name, line) in enumerate(plot.curves.items()):
        color, dashes = _COLORS[number % len(_COLORS)], _DASHES[number % len(_DASHES)]
        x, y = zip(*line, strict=True)
        axes.plot(x, y, dashes, color=color, label=name, marker="." if len(line) <= _FEW else "")
    # of colors alone nobody need tell them apart: the dashes stand beside the names
    figure.legend(loc="outside lower left", ncols=2, labelcolor="linecolor")


def _points(axes: Axes, plot: Points) -> None:
    names, x, y = zip(*plot.points, strict=True)
    _name(axes, plot.x, plot.y, x)
    if plot.line:
        ends = [x[at] for at in plot.line], [y[at] for at in plot.line]
        axes.plot(*ends, "--", color=_SOFT, linewidth=1.5, zorder=1)
    colors = [_COLORS[number % len(_COLORS)] for number in range(len(names))]
    sizes = _sizes(plot.areas) if plot.areas else [_AREA] * len(names)
    axes.scatter(x, y, sizes, colors, alpha=0.75, linewidths=0, zorder=2)
    axes.margins(0.15, 0.2)
    middle = sum(axes.get_xlim()) / 2
    for name, across, up, size in zip(names, x, y, sizes, strict=True):
        side, where = (1, "left") if across <= middle else (-1, "right")
        away = 3 + math.sqrt(size / math.pi)
        beside = (side * away, away / 2)
        axes.annotate(name, (across, up), beside, textcoords="offset points", ha=where)


def _sizes(areas: Sequence[float]) -> list[float]:
    """So that areas are as these figures; the very small ones can still be seen."""
    most = max(areas) or 1.0
    return [max(_SMALLEST, _LARGEST * area / most) for area in areas]


def _strips(axes: Axes, plot: Strips) -> None:
    """From zero to the slowest but the few that are far away: these are counted in the text and not
    drawn."""
    every = [sorted(samples) for _, samples, _ in plot.rows]
    most = max(_quantile(samples, _DRAWN) for samples in every) or 1.0
    most *= 1.02  # of a dot at the edge all is seen
    rows = [-number for number in range(len(every))]
    for row, samples, (name, _, text) in zip(rows, every, plot.rows, strict=True):
        inside = [sample for sample in samples if sample <= most]
        away = len(samples) - len(inside)
        told = f"{name}: {text}" + (f"; {away} not drawn, up to {samples[-1]:.4g}" if away else "")
        label = "\n".join(wrap(told, _COLUMNS, max_lines=2, placeholder=" …"))
        axes.annotate(label, (0, row + 0.26), va="bottom", annotation_clip=False)
        dots = zip(*_dots(inside, row), strict=True)
        axes.plot(*dots, ".", color=_COLORS[-row % len(_COLORS)], alpha=0.45, markeredgewidth=0)
    line: dict[str, object] = {"color": _INK, "linewidth": 1.2}
    axes.boxplot(
        every,
        positions=rows,
        orientation="horizontal",
        widths=0.36,
        whis=_WHISKERS,
        showfliers=False,
        manage_ticks=False,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops=line,
    )
    axes.set(xlim=(0, most), ylim=(rows[-1] - 0.3, 0.85), yticks=[])
    axes.set_xlabel(plot.x)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _dots(ordered: Sequence[float], row: float) -> Iterator[tuple[float, float]]:
    """At most ``DOTS`` of them, evenly by rank, in a fixed zigzag around the row."""
    step = max(1, -(-len(ordered) // DOTS))
    for at, sample in enumerate(ordered[::step]):
        yield sample, row + _HEIGHTS[at % len(_HEIGHTS)]


def _name(axes: Axes, x: str, y: str, values: Iterable[float]) -> None:
    axes.set_xlabel(x)
    axes.set_title(y)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    if all(at == round(at) for at in values):  # an epoch is not divided
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=_STEPS, integer=True, min_n_ticks=1))


_OUTER = re.compile(r".*?<svg [^>]*>(.*)</svg>\s*", re.S)
_STYLE_SHEET = re.compile(r"\s*<style.*?</style>\s*", re.S)
_TAG = re.compile(r"<[^>]*>")  # in text and in attributes < and > are escaped
_FONT_OF_ITS_OWN = re.compile(r"font(?:-size)?: ([\d.]+px)[^;\"]*|font-family: [^;\"]*; ")
_NAME_OF_A_GROUP = re.compile(r"^<g id=\"[^\"]*\"")


def _of_page(drawn: str, title: str, high: float) -> Markup:
    """matplotlib's file as a part of the page: with its colors and its font, without a style sheet
    and without names that other figures on it have as well."""
    match = _OUTER.fullmatch(drawn)
    assert match is not None, drawn[:400]
    inner = _TAG.sub(lambda tag: _tag(tag[0]), _STYLE_SHEET.sub("", match[1]))
    head = f'<svg viewBox="0 0 {WIDTH} {high}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}{inner.strip()}</svg>")  # noqa: S704 (matplotlib escapes its text)


def _tag(tag: str) -> str:
    tag = _NAME_OF_A_GROUP.sub("<g", tag)
    tag = _FONT_OF_ITS_OWN.sub(lambda font: f"font-size: {font[1]}" if font[1] else "", tag)
    for color, name in _OF_PAGE.items():
        tag = tag.replace(f": {color}", f": {name}")
    return tag
