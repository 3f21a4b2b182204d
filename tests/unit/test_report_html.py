"""report.html: the same parts as report.md, as a page that is one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import html5lib
import pytest

from tfedge.report import html
from tfedge.report.document import Document
from tfedge.tasks.blocks import Bullets, Code, Heading, Part, Table, Text, bold, cell, code

AWKWARD = (
    *("<b>x</b>", "<script>alert(1)</script>", "a|b", "`a|b`", "*a*", "&lt;", "&", '"quoted"'),
    *("[x](javascript:alert(1))", "![i](http://x/i.png)", "{{ 7*7 }}", "{% raw %}", "</style>"),
    *("<!-- x", "é ü 😀", "a\\|b", "http://a.b/<script>", "a_b_c", "]]>", "\\"),
)


def page(*blocks: Any, title: str = "run", part: str = "Part") -> Any:
    """The parsed page of one part; a page that is not sound HTML fails the test."""
    text = html.text(Document(title, [Text("head")], [Part(part, blocks)]))
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def told(element: Any) -> str:
    return "".join(element.itertext())


@pytest.mark.parametrize("name", AWKWARD)
def test_a_name_is_shown_as_it_is_wherever_it_stands(name: str) -> None:
    shown = " ".join(name.split())
    found = page(
        Table([name, "n"], [[name, name], [code(name), bold(name)]]),
        Bullets([name]),
        Heading(name),
        Code(name),
        Text(f"x {cell(name)} y"),
        title=name,
        part=name,
    )
    assert told(found.find(".//title")) == f"{name}: tfedge report"
    assert [told(found.find(f".//{tag}")) for tag in ("h1", "h2", "h3")] == [name] * 3
    assert [told(one) for one in found.findall(".//tbody//*") if one.tag in ("th", "td")] == [
        shown
    ] * 4
    assert told(found.find(".//th")) == shown and told(found.find(".//main//li")) == shown
    assert told(found.find(".//pre/code")) == name
    assert told(found.findall(".//main//p")[-1]) == f"x {shown} y"
    assert found.find(".//nav//a").text == name
    for tag in ("script", "img", "b", "iframe"):
        assert found.find(f".//{tag}") is None
    hrefs = [one.get("href") for one in found.iter() if one.get("href")]
    assert all(href.startswith("#") for href in hrefs)


def test_markdown_of_ours_becomes_elements() -> None:
    found = page(Text("a `b|c` **d** *e*"), Table(["x"], [[bold("f")], [code("g|h")], [None]]))
    (paragraph,) = found.findall(".//main//p")
    assert [(one.tag, one.text) for one in paragraph] == [
        ("code", "b|c"),
        ("strong", "d"),
        ("em", "e"),
    ]
    rows = found.findall(".//tbody/tr/th")
    assert [told(row) for row in rows] == ["f", "g|h", "–"]
    assert (rows[0][0].tag, rows[1][0].tag) == ("strong", "code")


def test_only_long_tables_are_folded() -> None:
    for count, folded in ((html.FOLDED, False), (html.FOLDED + 1, True)):
        found = page(Heading("Layers"), Table(["n"], [[n] for n in range(count)]))
        details = found.find(".//details")
        assert (details is not None) is folded
        assert len(found.findall(".//tbody/tr")) == count
        if folded:
            assert told(details.find("summary")) == f"Layers, n: {count} rows"


def test_it_reads_by_keyboard_and_screen_reader() -> None:
    found = page(Table(["", "a"], [["x", 1]]), Code("tfedge run"))
    assert found.get("lang") == "en"
    for landmark in ("header", "nav", "main"):
        assert found.find(f".//{landmark}") is not None
    ids = {one.get("id") for one in found.iter() if one.get("id")}
    for link in found.findall(".//a"):
        assert link.get("href").removeprefix("#") in ids
    section = found.find(".//section")
    assert told(found.find(f".//*[@id='{section.get('aria-labelledby')}']")) == "Part"
    for scrolled in (found.find(".//pre"), found.find(".//div[@class='wide']")):
        assert (scrolled.get("tabindex"), scrolled.get("role")) == ("0", "region")
        assert scrolled.get("aria-label") in ("Table 1: Part", "Code 1: Part")
    assert [one.get("scope") for one in found.findall(".//th")] == ["col", "row"]
    first = next(one for one in found.find("body").iter() if one.get("href"))
    assert first.get("href") == "#main"


def test_it_is_one_file_that_asks_for_nothing() -> None:
    text = html.text(Document("run", [], [Part("Part", [Text("x")])]))
    assert "default-src 'none'" in text
    assert not re.search(r"\b(src|srcset|action|data)=|@import|url\(|<link|<script", text)
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_the_run_s_page_stands_beside_its_markdown(tmp_path: Path) -> None:
    from color_helpers import make_run

    from tfedge.report import written

    run = make_run(tmp_path)
    result = {"pipeline": "color", "status": "ok", "seconds": 3, "stages": []}
    markdown = written.write(run.folder, result).read_text("utf-8")
    parsed = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(
        (run.folder / "report.html").read_text("utf-8")
    )
    titles = [told(one) for one in parsed.findall(".//h2")]
    assert titles == re.findall(r"^## (.+)$", markdown, re.M) and len(titles) > 4
    cells = {told(one) for one in parsed.findall(".//td")}
    assert {"0.9", "50.0 %"} <= cells
