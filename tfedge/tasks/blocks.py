"""What a report is made of, whatever it is rendered to.

Text in blocks is Markdown of one paragraph: emphasis, code and links. Cells of a table are plain
values; None is a figure that there is none of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list; its items are shown as they are, not as Markdown."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """The first column names what a row is of, the others hold its figures.

    ``shaded``: they are counts [n, n] of things by what they are and what they were taken for; what
    can shade a cell shades it by its share of its row.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    shaded: bool = False


@dataclass(frozen=True)
class Heading:
    """What the blocks after it are of, within a part."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines to be copied, or shown as they are."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Bars:
    """Names, values of 0 or more, and the values as text. ``most`` is a whole bar; 0: the largest
    value. ``intervals``, where there are any, are those of the rows, None for one without."""

    rows: Sequence[tuple[str, float, str]]
    most: float = 0.0
    intervals: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True)
class Panels:
    """Bars of several figures, each with its name and on a scale of its own."""

    panels: Sequence[tuple[str, Bars]]


@dataclass(frozen=True)
class Strips:
    """All samples of several things over one axis of that name: for each its name, the samples, at
    least one of 0 or more, and what they come to as text."""

    x: str
    rows: Sequence[tuple[str, Sequence[float], str]]


@dataclass(frozen=True)
class Places:
    """Things in their order, each with whether it is in the place that ``here`` names, not in
    ``there``."""

    here: str
    there: str
    rows: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Curves:
    """Lines of (x, y), by name, over axes of these names; each of at least one point."""

    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Points:
    """(name, x, y), at least one, over axes of these names. ``areas``, where there are any, are
    what the area of each mark stands for; ``line`` are the places of points that one joins, in its
    order."""

    x: str
    y: str
    points: Sequence[tuple[str, float, float]]
    areas: Sequence[float] = ()
    line: Sequence[int] = ()


@dataclass(frozen=True)
class Figure:
    """A picture of what a table of the same part says in numbers. What shows no pictures leaves it
    out. ``title`` says what is to be seen."""

    title: str
    plot: Bars | Curves | Points | Panels | Strips | Places


@dataclass(frozen=True)
class Box:
    """A place on an image: left, top, right and bottom as shares of its sides. ``there``: it is
    known to be; otherwise it was found, rightly or not."""

    corners: tuple[float, float, float, float]
    name: str
    state: Literal["there", "right", "wrong"]


@dataclass(frozen=True)
class Picture:
    """A small image. ``content`` is a JPEG; None: there is none, and ``missing`` says why."""

    name: str  # how a person finds it
    caption: str
    content: bytes | None
    boxes: Sequence[Box] = ()
    missing: str = ""


@dataclass(frozen=True)
class Pictures:
    """Images beside each other. ``title`` says what is to be seen. What shows no images lists their
    names and captions, but leaves those out that are ``listed`` in the same part anyway. ``large``:
    small boxes are to be seen on them."""

    title: str
    pictures: Sequence[Picture]
    listed: bool = False
    large: bool = False


Block = Text | Bullets | Table | Heading | Code | Figure | Pictures

# What has a meaning anywhere in a line. Inside of a word a _ has none, nor have brackets that no
# link can be of, and # only where it may end a heading.
_MARKED = re.compile(r"[\\`*|~$]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|\[(?=\^)|(?<= )#+$")
_ENTITY = re.compile(r"&#?\w+;")
# What has one where a line begins: headings, lists, quotes, rules, what links lead to.
_BEGINS = re.compile(r"^(\d{0,9})([-+=#]+(?= |$)|#+|>|\[|(?<=\d)[.)](?= |$))")


@dataclass(frozen=True)
class Part:
    """A titled section of a report."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Held:
    """Whether what was asked for is so, as a cell."""

    held: bool

    def __str__(self) -> str:
        return "✓ passed" if self.held else "✗ failed"


class Markup(str):
    """Text that is Markdown already."""

    __slots__ = ()


def cell(value: object) -> Markup:
    """A value as it can stand in a line, a heading or a table of Markdown and be read as it is: one
    line, in which nothing ends a cell or is a tag, a link or emphasis. A dash for None.

    ``Markup`` stays as it is.
    """
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("–")
    text = " ".join(str(value).split())
    text = _MARKED.sub(r"\\\g<0>", text.replace("&", "&amp;") if _ENTITY.search(text) else text)
    return Markup(_BEGINS.sub(r"\g<1>\\\g<2>", text.replace("<", "&lt;")))


def bold(value: object) -> Markup:
    """A value in bold."""
    return Markup(f"**{cell(value)}**")


def code(value: object) -> Markup:
    """A value as code, within a line; in a table, too."""
    text = " ".join(str(value).split()).replace("|", "\\|")
    ticks = max(map(len, re.findall("`+", text)), default=0)
    return Markup(f"`{text}`" if not ticks else f"{'`' * (ticks + 1)} {text} {'`' * (ticks + 1)}")


def percent(share: float | None) -> str:
    """``81.1 %``; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def unescaped(value: object) -> str:
    """A cell that stands in no table of Markdown: Markdown of ours (``Markup``), or text as it
    is."""
    if isinstance(value, Markup):
        return Markup(value.replace("\\|", "|"))
    return str(cell(None)) if value is None else " ".join(str(value).split())


def between(interval: tuple[float, float]) -> str:
    """``[71.0, 83.2]``: the ends of an interval of a share, in per cent."""
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def p_text(p: float) -> str:
    """A probability in two digits."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
