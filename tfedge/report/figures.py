"""Where the marks of a figure stand, in units of its own picture or in per cent; the page's
template draws them.

A figure repeats what a table beside it says: its text for who can't see it is its title alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfedge.tasks.blocks import Bars, Curves, Points, Strips

WIDTH, HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 32, 46
_TICKS = 5
_RADIUS, _LARGEST, _SMALLEST = 6.0, 16.0, 2.0  # of a point; of the largest and the least area
ACROSS, _STRIP = 1000, 24  # of a strip of samples, and how high it is
_DOTS = 200  # samples of a strip that are drawn
_DRAWN = 0.98  # the share of the samples that an axis has room for


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A point, and what stands beside it."""

    x: float
    y: float
    name: str
    radius: float = _RADIUS


@dataclass(frozen=True)
class Curve:
    name: str
    path: str  # of SVG
    marks: tuple[Mark, ...]  # its points, where there are few


@dataclass(frozen=True)
class Chart:
    """Curves and points over two axes."""

    x: str
    y: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]
    points: tuple[Mark, ...]
    line: str = ""  # a path of SVG through some of the points
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Bar:
    """In per cent of a whole bar."""

    name: str
    length: float
    text: str
    interval: tuple[float, float] | None  # where it begins, and its length


@dataclass(frozen=True)
class Strip:
    """Samples over an axis of ``ACROSS``: each as a dot, some of them where there are many; a box
    from the lower to the upper quartile, and the median."""

    name: str
    text: str
    dots: str  # a path of SVG
    box: tuple[float, float]  # where it begins, and its length
    median: float


@dataclass(frozen=True)
class StripChart:
    ticks: tuple[Tick, ...]  # in per cent
    strips: tuple[Strip, ...]
    x: str
    across: int
    high: int


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


def strips(plot: Strips) -> StripChart:
    """From zero to a round number behind the slowest but the few that are far away: these are
    counted in the text and not drawn."""
    every = [sorted(samples) for _, samples, _ in plot.rows]
    ticks = _ticks([0.0, max(_quantile(samples, _DRAWN) for samples in every) or 1.0])
    found = []
    for (name, _, text), samples in zip(plot.rows, every, strict=True):
        inside = [sample for sample in samples if sample <= ticks[-1]]
        away = len(samples) - len(inside)
        told = f"{text}; {away} not drawn, up to {_text(samples[-1])}" if away else text
        low, middle, high = (
            round(ACROSS * min(1.0, _quantile(samples, share) / ticks[-1]), 1)
            for share in (0.25, 0.5, 0.75)
        )
        found.append(Strip(name, told, _dots(inside, ticks[-1]), (low, high - low), middle))
    marks = tuple(Tick(round(100 * at / ticks[-1], 2), _text(at)) for at in ticks)
    return StripChart(marks, tuple(found), plot.x, ACROSS, _STRIP)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _dots(ordered: Sequence[float], most: float) -> str:
    """At most ``_DOTS`` of them, evenly by rank, the heights in a fixed zigzag, so that equal ones
    are seen apart."""
    step = max(1, -(-len(ordered) // _DOTS))
    heights = (7, 14, 10, 17, 4, 12, 19, 9)
    return "".join(
        f"M{round(ACROSS * sample / most, 1):g} {heights[at % len(heights)]}h0"
        for at, sample in enumerate(ordered[::step])
    )


def chart(plot: Curves | Points) -> Chart:
    """Axes that hold every point, with round numbers on them."""
    if isinstance(plot, Curves):
        named = {name: [*line] for name, line in plot.curves.items()}
        every = [point for line in named.values() for point in line]
    else:
        named, every = {}, [(x, y) for _, x, y in plot.points]
    x_ticks, y_ticks = _ticks([x for x, _ in every]), _ticks([y for _, y in every])

    def place(x: float, y: float) -> tuple[float, float]:
        across = _share(x, x_ticks) * (WIDTH - _LEFT - _RIGHT) + _LEFT
        up = HEIGHT - _BOTTOM - _share(y, y_ticks) * (HEIGHT - _TOP - _BOTTOM)
        return round(across, 1), round(up, 1)

    curves = []
    for name, line in named.items():
        places = [place(x, y) for x, y in line]
        path = " ".join(f"{'L' if at else 'M'}{x} {y}" for at, (x, y) in enumerate(places))
        marks = tuple(Mark(x, y, name) for x, y in places) if len(places) <= 30 else ()
        curves.append(Curve(name, path, marks))
    points = plot.points if isinstance(plot, Points) else ()
    areas = plot.areas if isinstance(plot, Points) else ()
    radii = _radii(areas) if areas else [_RADIUS] * len(points)
    marks = tuple(
        Mark(*place(x, y), name, radius) for (name, x, y), radius in zip(points, radii, strict=True)
    )
    through = [marks[at] for at in plot.line] if isinstance(plot, Points) else []
    front = " ".join(f"{'L' if at else 'M'}{mark.x} {mark.y}" for at, mark in enumerate(through))
    across = tuple(Tick(place(x, y_ticks[0])[0], _text(x)) for x in x_ticks)
    up = tuple(Tick(place(x_ticks[0], y)[1], _text(y)) for y in y_ticks)
    return Chart(plot.x, plot.y, across, up, tuple(curves), marks, front)


def _radii(areas: Sequence[float]) -> list[float]:
    """So that areas are as these figures; the very small ones can still be seen."""
    most = max(areas) or 1.0
    return [max(_SMALLEST, round(_LARGEST * math.sqrt(area / most), 1)) for area in areas]


def _share(value: float, ticks: Sequence[float]) -> float:
    return (value - ticks[0]) / (ticks[-1] - ticks[0])


def _ticks(values: Sequence[float]) -> list[float]:
    """Round numbers around all values, a few of them: 1, 2 or 5 times a power of ten apart."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _text(value: float) -> str:
    return f"{value:.4g}"
