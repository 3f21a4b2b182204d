"""What a report is made of, whatever it is rendered to.

Text in blocks is Markdown of one paragraph: emphasis, code and links. Cells of a table are plain
values; None is a figure that there is none of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
    """The first column names what a row is of, the others hold its figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


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
    value."""

    rows: Sequence[tuple[str, float, str]]
    most: float = 0.0


@dataclass(frozen=True)
class Curves:
    """Lines of (x, y), by name, over axes of these names; each of at least one point."""

    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Points:
    """(name, x, y), at least one, over axes of these names."""

    x: str
    y: str
    points: Sequence[tuple[str, float, float]]


@dataclass(frozen=True)
class Figure:
    """A picture of what a table of the same part says in numbers. What shows no pictures leaves it
    out. ``title`` says what is to be seen."""

    title: str
    plot: Bars | Curves | Points


Block = Text | Bullets | Table | Heading | Code | Figure

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


def p_text(p: float) -> str:
    """A probability in two digits."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
