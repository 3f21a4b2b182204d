"""report.html: the same parts as report.md, as a page that is one file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from matplotlib import rc_context

from tests.svg_helpers import between, discs, dots, line_through, on_axis, texts, without_namespaces
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
    return without_namespaces(found)


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
    assert not re.search(r"\b(src|srcset|action|data)=|@import|url\((?!#)|<link|<script", text)
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


def svg_of(plot: Any, title: str = "A plot") -> Any:
    """The only drawing of a page that has it."""
    (found,) = page(Figure(title, plot)).findall(".//svg")
    return found


def test_strips_hold_every_sample_or_count_those_that_are_far_away() -> None:
    near = [1.0] * 99
    plot = Strips("ms", [("int8", [*near, 50.0], "1.00 ms"), ("float", [3.0, 2.0, 4.0], "3 ms")])
    svg = svg_of(plot, "Latency")
    assert (svg.get("role"), svg.get("aria-label")) == ("img", "Latency")
    told_of = texts(svg)
    assert "int8: 1.00 ms; 1 not drawn, up to 50" in told_of and "float: 3 ms" in told_of
    axis = on_axis(svg, "middle")
    assert axis[0][1] == 0 and 3 <= axis[-1][1] <= 4  # 50 is left out
    places = sorted(x for x, _ in dots(svg))
    assert len(places) == 99 + 3
    wanted = [*near, 2.0, 3.0, 4.0]
    # to a hundredth of the picture: labels of an axis stand on whole units of the font
    assert places == pytest.approx([between(axis, value) for value in wanted], abs=4)


def test_of_very_many_samples_some_are_drawn() -> None:
    svg = svg_of(Strips("ms", [("x", [float(n) for n in range(1, 5001)], "")]))
    assert 50 < len(dots(svg)) <= figures.DOTS


def test_points_stand_where_their_values_are() -> None:
    svg = svg_of(Points("ms", "top-1, %", [("float", 0.86, 99.0), ("int8", 0.38, 97.5)]))
    (slow, good, _, one), (fast, worse, _, two) = discs(svg)
    assert fast < slow and good < worse and one != two  # up is better
    x, y = on_axis(svg, "middle"), on_axis(svg, "end")
    assert (slow, fast) == pytest.approx([between(x, value) for value in (0.86, 0.38)], abs=0.5)
    # a label's base line stands under its tick by the same distance everywhere
    assert worse - good == pytest.approx(between(y, 97.5) - between(y, 99.0), abs=0.5)
    assert {"float", "int8", "ms", "top-1, %"} <= set(texts(svg))


def test_areas_are_as_the_figures_and_a_line_joins_the_points_that_are_named() -> None:
    points = [("A", 1.0, 90.0), ("B", 3.0, 95.0), ("C", 2.0, 80.0)]
    plot = Points("ms", "top-1, %", points, areas=[1.0, 4.0, 0.0], line=[0, 1])
    svg = svg_of(plot)
    (ax, ay, small, _), (bx, by, large, _), (_, _, least, _) = discs(svg)
    assert large == pytest.approx(2 * small, rel=0.01)
    assert 1 < least < small  # what is small is still seen
    assert line_through(svg) == pytest.approx([ax, ay, bx, by], abs=0.01)


@pytest.mark.parametrize(
    "values", [(0.0, 1.0), (5.0, 5.0), (0.0, 0.0), (-3.0, 4.0), (96.51, 99.02), (1.0, 1e7)]
)
def test_round_numbers_stand_on_the_axes(values: tuple[float, float]) -> None:
    svg = svg_of(Curves("epoch", "loss", {"a": [(1, values[0]), (2, values[1])]}))
    y = on_axis(svg, "end")
    assert 2 <= len(y) <= 9
    steps = np.diff([number for _, number in y])
    assert np.ptp(steps) <= 1e-9 * abs(steps).max()
    first, mantissa = steps[0], f"{steps[0]:e}"[0]
    assert first > 0 and mantissa in "125"
    epochs = [number for _, number in on_axis(svg, "middle")]
    assert epochs == [1, 2]  # none is divided


def test_each_curve_has_a_color_and_a_dash_of_its_own() -> None:
    lines = {"training loss": [(1, 2.0), (2, 1.0)], "validation loss": [(1, 2.5), (2, 1.5)]}
    svg = svg_of(Curves("epoch", "loss", lines), "Head: loss")
    drawn = {
        (color[1], "dasharray" in style)
        for style in (one.get("style") or "" for one in svg.findall(".//path"))
        if (color := re.search(r"stroke: var\((--one|--two)\); stroke-width: 2", style))
        or (color := re.search(r"dashoffset: 0; stroke: var\((--one|--two)\)", style))
    }
    assert drawn == {("--one", False), ("--two", True)}
    assert set(lines) <= set(texts(svg))


AWKWARD_NAMES = (*AWKWARD, "$x$", "$", "fill: #000001", 'style="font: 3px a"', "日本", "a\nb")


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_names_stand_in_a_drawing_as_they_are(name: str) -> None:
    svg = svg_of(Points(name, name, [(name, 1.0, 2.0)]), name)
    assert svg.get("aria-label") == name
    assert " ".join(texts(svg)).count(" ".join(name.split())) == 3
    curve = svg_of(Curves("x", "y", {name: [(1.0, 2.0)]}))
    assert " ".join(name.split()) in " ".join(texts(curve))


def test_a_drawing_has_the_page_s_colors_and_font_and_no_rules_for_the_whole_page() -> None:
    plots = (
        Curves("epoch", "loss", {"a": [(n, n**0.5) for n in range(50)], "b": [(1, 1.0)]}),
        Points("ms", "top-1", [("a", 1.0, 2.0)], areas=[1.0]),
        Strips("ms", [("a", [1.0, 2.0], "")]),
    )
    for plot in plots:
        text = figures.svg(plot, "t")
        assert not re.search(
            r"#[0-9a-f]{6}\b(?![^<]*\))|font-family|<style|rdf|\d{4}-\d\d-\d\d", text
        )
        assert text == figures.svg(plot, "t")  # as often as it is drawn
        with rc_context({"font.size": 30, "axes.grid": False, "savefig.facecolor": "red"}):
            assert text == figures.svg(plot, "t")  # whatever is set for other figures
    names = [set(re.findall(r'id="([^"]*)"', figures.svg(plot, "t"))) for plot in plots]
    assert all(names) and not names[0] & names[1] and not names[0] & names[2]


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


def test_matplotlib_s_remarks_do_not_reach_the_user(tmp_path: Path) -> None:
    """It has many on a machine where it can't keep its list of fonts."""
    script = (
        "import logging\n"
        "from tfedge.report import html\n"
        "from tfedge.report.document import Document\n"
        "from tfedge.tasks.blocks import Curves, Figure, Part\n"
        "plot = Curves('x', 'y', {'日本': [(1.0, 2.0)]})\n"
        "html.text(Document('x', [], [Part('P', [Figure('t', plot)])]))\n"
        "assert logging.getLogger('matplotlib').level == logging.NOTSET\n"
    )
    (tmp_path / "file").touch()
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path / "file" / "no")},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
