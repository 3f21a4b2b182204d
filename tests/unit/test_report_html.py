"""report.html: the same parts as report.md, as a page that is one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import html5lib
import pytest

from tfedge.report import figures, html
from tfedge.report.document import FOLDED, Document, _tradeoff
from tfedge.report.facts import gather
from tfedge.report.markup import render
from tfedge.tasks.blocks import (
    Bars,
    Bullets,
    Code,
    Curves,
    Figure,
    Heading,
    Part,
    Points,
    Strips,
    Table,
    Text,
    bold,
    cell,
    code,
)

AWKWARD = (
    *("<b>x</b>", "<script>alert(1)</script>", "a|b", "`a|b`", "*a*", "&lt;", "&", '"quoted"'),
    *("[x](javascript:alert(1))", "![i](http://x/i.png)", "{{ 7*7 }}", "{% raw %}", "</style>"),
    *("<!-- x", "é ü 😀", "a\\|b", "http://a.b/<script>", "a_b_c", "]]>", "\\"),
)


def page(*blocks: Any, title: str = "run", part: str = "Part") -> Any:
    """The parsed page of one part; a page that is not sound HTML fails the test."""
    text = html.text(Document(title, [Text("head")], [Part(part, blocks)]))
    found = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    for element in found.iter():
        if isinstance(element.tag, str):  # no comment
            element.tag = element.tag.rpartition("}")[2]  # SVG has a namespace of its own
    return found


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
    for count, folded in ((FOLDED, False), (FOLDED + 1, True)):
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


# ------------------------------------------------------------------ figures


def test_bars_are_as_long_as_their_values() -> None:
    figure = Figure("Zeros", Bars([("a", 0.25, "25 %"), ("b" * 90, 0.5, "50 %"), ("c", 0, "0 %")]))
    found = page(figure).find(".//figure")
    chart = found.find("div[@class='bars']")
    assert told(found.find("figcaption")) == "Zeros"
    assert (chart.get("role"), chart.get("aria-label")) == ("img", "Zeros")
    styles = [one.get("style") for one in chart.findall(".//span[@class='fill']")]
    assert styles == ["width:50.0%", "width:100.0%", "width:0.0%"]  # of the largest
    rows = [[told(one).strip() for one in row.findall("span")] for row in chart.findall("div")]
    assert rows == [["a", "", "25 %"], ["b" * 90, "", "50 %"], ["c", "", "0 %"]]
    (bar,) = figures.bars(Bars([("a", 0.25, "")], most=1.0, intervals=[(0.2, 0.4)]))
    assert (bar.length, bar.interval) == (25.0, (20.0, 20.0))
    wide = figures.bars(Bars([("a", 2, ""), ("b", 1, "")], intervals=[(1, 4), None]))
    assert [bar.length for bar in wide] == [50.0, 25.0]  # an interval has room, too


def test_strips_hold_every_sample_or_count_those_that_are_far_away() -> None:
    near = [1.0] * 99
    plot = Strips("ms", [("int8", [*near, 50.0], "1.00 ms"), ("float", [3.0, 2.0, 4.0], "3 ms")])
    found = figures.strips(plot)
    assert [tick.at for tick in found.ticks] == sorted(tick.at for tick in found.ticks)
    assert (found.ticks[0].text, found.ticks[-1].at) == ("0", 100.0)
    end = float(found.ticks[-1].text)
    fast, slow = found.strips
    assert fast.text == "1.00 ms; 1 not drawn, up to 50" and slow.text == "3 ms"
    assert 4 <= end < 50
    places = [float(at) for at in re.findall(r"M([\d.]+) ", slow.dots)]
    assert places == [round(figures.ACROSS * value / end, 1) for value in (2, 3, 4)]
    assert slow.median == round(figures.ACROSS * 3 / end, 1)
    many = figures.strips(Strips("ms", [("x", [float(n) for n in range(1, 5001)], "")]))
    assert many.strips[0].dots.count("M") <= 200
    svg = page(Figure("Latency", plot)).find(".//div[@class='strips']")
    assert (svg.get("role"), svg.get("aria-label")) == ("img", "Latency")


def test_points_stand_where_their_values_are() -> None:
    plot = Points("ms", "top-1, %", [("float", 0.86, 99.0), ("int8", 0.38, 97.5)])
    svg = page(Figure("Top-1 over latency", plot)).find(".//svg")
    places = [(float(one.get("cx")), float(one.get("cy"))) for one in svg.findall("circle")]
    (slow, good), (fast, worse) = places
    assert fast < slow and good < worse  # up is better
    chart = figures.chart(plot)
    for ticks, values, at in (
        (chart.x_ticks, (0.86, 0.38), (slow, fast)),
        (chart.y_ticks, (99.0, 97.5), (good, worse)),
    ):
        (first, low), (last, high) = [(t.at, float(t.text)) for t in (ticks[0], ticks[-1])]
        for value, place in zip(values, at, strict=True):
            expected = first + (value - low) / (high - low) * (last - first)
            assert place == pytest.approx(expected, abs=0.1)  # units are rounded to tenths
    assert {"float", "int8", "ms", "top-1, %"} <= {told(one) for one in svg.findall("text")}


def test_areas_are_as_the_figures_and_a_line_joins_the_points_that_are_named() -> None:
    points = [("A", 1.0, 90.0), ("B", 3.0, 95.0), ("C", 2.0, 80.0)]
    plot = Points("ms", "top-1, %", points, areas=[1.0, 4.0, 0.0], line=[0, 1])
    svg = page(Figure("Runs", plot)).find(".//svg")
    circles = svg.findall("circle")
    radii = [float(one.get("r")) for one in circles]
    assert radii[1] == 2 * radii[0] and 0 < radii[2] < radii[0]  # what is small is still seen
    (line,) = (one for one in svg.findall("path") if one.get("class") == "front")
    ends = [f"{one.get('cx')} {one.get('cy')}" for one in circles[:2]]
    assert line.get("d") == f"M{ends[0]} L{ends[1]}"


@pytest.mark.parametrize(
    "values", [(0.0, 1.0), (5.0, 5.0), (0.0, 0.0), (-3.0, 4.0), (1e-9, 3e-9), (96.51, 99.02)]
)
def test_round_numbers_stand_on_the_axes(values: tuple[float, float]) -> None:
    chart = figures.chart(Curves("epoch", "loss", {"a": [(1, values[0]), (2, values[1])]}))
    numbers = [float(tick.text) for tick in chart.y_ticks]
    assert numbers == sorted(set(numbers)) and 2 <= len(numbers) <= 8
    slack = 1e-6 * max(map(abs, (*values, 1e-9)))
    assert numbers[0] <= min(values) + slack and max(values) <= numbers[-1] + slack
    assert all(chart.top <= mark.y <= chart.bottom for mark in chart.curves[0].marks)


def test_each_curve_has_a_color_and_a_dash_of_its_own() -> None:
    lines = {"training loss": [(1, 2.0), (2, 1.0)], "validation loss": [(1, 2.5), (2, 1.5)]}
    svg = page(Figure("Head: loss", Curves("epoch", "loss", lines))).find(".//svg")
    classes = [one.get("class") for one in svg.findall("path") if "curve" in one.get("class")]
    assert classes == ["c0 curve", "c1 curve"]
    for dash in (".c1.curve { stroke-dasharray", ".c2.curve { stroke-dasharray"):
        assert dash in html.text(Document("run", [], []))
    assert {"— training loss", "- - validation loss"} <= {told(one) for one in svg.findall("text")}


def test_markdown_leaves_figures_out() -> None:
    blocks = [Text("a"), Figure("Zeros", Bars([("x", 1, "1")])), Text("b")]
    assert render(blocks) == ["a", "", "b"]


def test_the_trade_off_is_accuracy_over_latency(tmp_path: Path) -> None:
    from core_fakes import Host, Measurements, Process, Result

    from tests.output_helpers import evaluation
    from tfedge.core.outputs import ModelMetrics, write
    from tfedge.tasks.table import task_of

    (tmp_path / "evaluate").mkdir()
    (tmp_path / "benchmark").mkdir()
    metric = task_of("image-classification").primary
    values = {"float": 0.9, "int8": 0.8}
    models = {name: ModelMetrics(top1=v, recall_macro=v) for name, v in values.items()}
    host = Host("a CPU", "x86_64", 2, "Linux", "3.11.0")
    results = [
        Result(
            name, "ab" * 32, 9, "LiteRT", "2", 1, host, (Process(1, 1, (), (ns,) * 3, None, None),)
        )
        for name, ns in (("float", 4_000_000), ("int8", 2_000_000))
    ]
    Measurements(tuple(results)).write(tmp_path / "benchmark" / "benchmark.json")
    write(tmp_path / "evaluate" / "metrics.json", evaluation(metric, values, **models))
    facts = gather(tmp_path, {"pipeline": "x", "status": "ok"})
    (figure,) = _tradeoff(facts)
    assert isinstance(figure, Figure) and figure.title == "Top-1 over latency on local, 1 thread"
    assert figure.plot == Points(
        "ms, median", "top-1, %", [("float", 4.0, 90.0), ("int8", 2.0, 80.0)]
    )


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
