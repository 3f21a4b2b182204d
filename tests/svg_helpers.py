"""What stands in the drawings of a page, as html5lib reads them without the names of namespaces in
its tags."""

from __future__ import annotations

import re
from typing import Any

HREF = "{http://www.w3.org/1999/xlink}href"


def texts(svg: Any) -> list[str]:
    return [_told(one) for one in svg.findall(".//text")]


def dots(svg: Any) -> list[tuple[float, float]]:
    """Where markers stand that are neither those of an axis nor of a legend."""
    ids = {one.get("id") for one in svg.findall(".//defs/path") if "C " in one.get("d")}
    uses = [one for one in svg.findall(".//use") if one.get(HREF, "")[1:] in ids]
    return [(float(one.get("x")), float(one.get("y"))) for one in uses]


def discs(svg: Any) -> list[tuple[float, float, float, str]]:
    """Middle, radius and color of each mark of a scatter."""
    found = []
    for one in svg.findall(".//path[@clip-path]"):
        if "fill-opacity" in (style := one.get("style")):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", one.get("d"))]
            x, y = numbers[::2], numbers[1::2]
            middle = (min(x) + max(x)) / 2, (min(y) + max(y)) / 2
            color = re.search(r"fill: var\((--\w+)\)", style)
            assert color
            found.append((*middle, (max(x) - min(x)) / 2, color[1]))
    return found


def on_axis(svg: Any, anchor: str) -> list[tuple[float, float]]:
    """(place, number) of the labels of the x axis ("middle") or the y axis ("end")."""
    side = "x" if anchor == "middle" else "y"
    return [
        (float(one.get(side)), float(_told(one).replace("−", "-")))
        for one in svg.findall(".//text")
        if f"text-anchor: {anchor}" in one.get("style") and re.fullmatch(r"[−\d.]+", _told(one))
    ]


def between(axis: list[tuple[float, float]], value: float) -> float:
    """Where a value belongs by the numbers that stand on an axis."""
    (first, low), *_, (last, high) = axis
    return first + (value - low) / (high - low) * (last - first)


def line_through(svg: Any) -> list[float]:
    """x and y of each point of the only dashed line."""
    (line,) = (one for one in svg.findall(".//path") if "dasharray" in (one.get("style") or ""))
    return [float(number) for number in re.findall(r"[\d.]+", line.get("d"))]


def without_namespaces(page: Any) -> Any:
    """SVG has one of its own."""
    for element in page.iter():
        if isinstance(element.tag, str):  # no comment
            element.tag = element.tag.rpartition("}")[2]
    return page


def _told(element: Any) -> str:
    return "".join(element.itertext())
