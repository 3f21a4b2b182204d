"""Text of the user's in a report: as a renderer of Markdown shows it, it is what was given."""

from __future__ import annotations

import html
import random
import re

import pytest

from tfedge.data.kind import IMAGES
from tfedge.report.markup import table
from tfedge.tasks.blocks import Bullets, Table, bold, cell, code
from tfedge.tasks.classification.metrics import ClassifierMetrics, ClassMetrics, Confusion
from tfedge.tasks.classification.report import confusion

MarkdownIt = pytest.importorskip("markdown_it").MarkdownIt

NAMES = (
    *("a|b", "<b>x", "C++", "# x", "#", "- a", "+ 1", "1. x", "> q", "__init__", "mobilenet_v2"),
    *("[a](http://x)", "[a]: http://x", "![i](x)", "[x] done", "[^1]", "&lt;", "a & b", "a\\|b"),
    *("\\", "`x`", "``", "~~a~~", "*a*", "---", "===", "<!-- x", "</td>", "a\nb", "_a_ b_", "$x$"),
    *("http://a.b/<script>", "-5.1", "9×9", "é ü", "😀", "a||b", "|", "\\|", "\\\\|", "100 %"),
)
PIECES = "|`*_[]()<>&;~#\\-+=.!^ :1ab\n$"


def rendered(lines: list[str]) -> str:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found: str = parser.render("\n".join(lines))
    return found


def cells(lines: list[str]) -> list[list[str]]:
    """The table as a reader sees it: no tag but those of the table."""
    rows = re.findall(r"<tr>(.*?)</tr>", rendered(lines), re.S)
    return [
        [html.unescape(text) for text in re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row)]
        for row in rows
    ]


def names(count: int) -> list[str]:
    rng = random.Random(1)
    made = ("".join(rng.choices(PIECES, k=rng.randrange(1, 9))) for _ in range(count))
    return [*NAMES, *(name for name in made if name.strip())]


def flat(name: str) -> str:
    return " ".join(name.split())


@pytest.mark.parametrize("name", names(400))
def test_a_name_is_shown_as_it_is(name: str) -> None:
    assert cells(table([name, "n", name], [[name, 1, name]])) == [
        [flat(name), "n", flat(name)],
        [flat(name), "1", flat(name)],
    ]
    for line, tag in (f"# {cell(name)}", "h1"), (f"x {cell(name)}", "p"):
        said = re.fullmatch(rf"<{tag}>([^<]*)</{tag}>", rendered([line]).strip())
        assert said and html.unescape(said[1]) == ("x " if tag == "p" else "") + flat(name)
    said = re.fullmatch(r"<ul>\n<li>([^<]*)</li>\n</ul>", rendered([f"- {cell(name)}"]).strip())
    assert said and html.unescape(said[1]) == flat(name)


@pytest.mark.parametrize("name", NAMES)
def test_bold_and_code(name: str) -> None:
    shown = re.search("<code>(.*)</code>", rendered(table(["x"], [[code(name)]])))
    assert shown and html.unescape(shown[1]).strip() == flat(name)
    assert cell(bold(name)) == bold(name) == f"**{cell(name)}**"


def test_the_heading_of_a_confusion_table_has_as_many_columns_as_its_rows() -> None:
    labels = ["a|b", "<b>x", "C++"]
    found = ClassifierMetrics.model_construct(
        per_class=[ClassMetrics.model_construct(name=name) for name in labels],
        confusion=Confusion({0: {0: 1, 1: 2, 2: 3}, 1: {0: 4, 1: 5}, 2: {0: 7, 1: 8, 2: 9}}),
    )
    (block,) = (block for block in confusion(found, IMAGES) if isinstance(block, Table))
    shown = cells(table(block.head, block.rows))
    assert shown == [["", *labels], ["a|b", *"123"], ["<b>x", *"450"], ["C++", *"789"]]
    assert not isinstance(block, Bullets)
