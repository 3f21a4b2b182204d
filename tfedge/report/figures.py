"""Where the marks of a figure stand, in units of its own picture; the page's template draws them.

A figure repeats what a table beside it says: its text for who can't see it is its title alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfedge.tasks.blocks import Bars, Curves, Points

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 32, 46
_BAR, _GAP = 16, 8
_NAME, _FIGURE = 190, 120  # columns of a bar's name and of its figure
_LETTERS = 27  # of a name that fit
_TICKS = 5


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A point or a bar: its place, its length, and what stands beside it."""

    x: float
    y: float
    length: float
    name: str
    text: str


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
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class BarChart:
    height: float
    track: float  # x and length of a whole bar
    whole: float
    bars: tuple[Mark, ...]
    thick: float = _BAR


def bars(plot: Bars) -> BarChart:
    """A line each, from zero to the largest, or to ``most``."""
    most = plot.most or max((value for _, value, _ in plot.rows), default=0.0) or 1.0
    whole = WIDTH - _NAME - _FIGURE
    marks = [
        Mark(_NAME, number * (_BAR + _GAP), whole * value / most, _short(name), text)
        for number, (name, value, text) in enumerate(plot.rows)
    ]
    return BarChart(max(1, len(marks)) * (_BAR + _GAP), _NAME, whole, tuple(marks))


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2]}…{name[-_LETTERS // 2 :]}"


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
        marks = tuple(Mark(x, y, 0, name, "") for x, y in places) if len(places) <= 30 else ()
        curves.append(Curve(name, path, marks))
    points = plot.points if isinstance(plot, Points) else ()
    marks = tuple(Mark(*place(x, y), 0, name, "") for name, x, y in points)
    across = tuple(Tick(place(x, y_ticks[0])[0], _text(x)) for x in x_ticks)
    up = tuple(Tick(place(x_ticks[0], y)[1], _text(y)) for y in y_ticks)
    return Chart(plot.x, plot.y, across, up, tuple(curves), marks)


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
