"""``tfedge show --full``: the parts of report.md on a terminal and as plain text."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from test_report_html import AWKWARD
from test_report_texts import finished

from tests.schemas import check
from tfedge import cli
from tfedge.files.terminal import READABLE
from tfedge.report import terminal
from tfedge.report.document import Document
from tfedge.report.document import document as report_of
from tfedge.report.facts import gather
from tfedge.report.table import document, summary
from tfedge.tasks.blocks import (
    Bars,
    Bullets,
    Code,
    Curves,
    Figure,
    Heading,
    Panels,
    Part,
    Places,
    Points,
    Strips,
    Table,
    Text,
    bold,
    code,
)


def shown(*blocks: Any, title: str = "run", part: str = "Part", encoding: str = "utf-8") -> str:
    """The plain text of one part, as a stream of this encoding gets it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding, READABLE, newline="")
    terminal.write(Document(title, [Text("head")], [Part(part, blocks)]), stream)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    made, result = finished(tmp_path_factory.mktemp("terminal"), mislabelled=2)
    result |= {"schema": "tfedge.run/1", "drops": []}
    result["model"] |= {"path": "convert/model.tflite"}
    (made.folder / "run.json").write_text(json.dumps(result))
    return made.folder, result


def test_every_figure_of_the_report_is_there(
    run: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, result = run
    assert cli.main(["show", "--full", str(folder)]) == 0
    text = capsys.readouterr().out
    words = set(text.split())
    parts = report_of(gather(folder, result)).parts
    for part in parts:
        assert f"\n\n{part.title}\n{'═' * len(part.title)}\n\n" in text
        for block in part.blocks:
            if isinstance(block, Table):
                for row in block.rows:
                    for value in map(str, row):
                        assert set(re.sub(r"\*\*|`|\\", "", value).split()) <= words | {"None"}
    assert len(parts) > 10
    assert "\x1b" not in text and not re.search(r"[ \t\r]$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) > 100  # a paragraph is a line


def test_plain_text_is_as_wide_as_it_is() -> None:
    rows = [["猫", 12], ["long " * 60, None]]
    assert shown(Table(["class", "n"], rows), Text("word " * 100)).splitlines()[7:] == [
        "class" + " " * (299 - 5) + "    n",
        "─" * (299 + 3 + 2),
        "猫" + " " * (299 - 2) + "   12",
        ("long " * 60).strip() + "    –",
        "",
        ("word " * 100).strip(),
    ]


def test_blocks_are_text() -> None:
    text = shown(
        Text("**bold** *em* `a|b` [link](http://x/y) a &lt; b"),
        Bullets(["*as it is*", "two"]),
        Heading("Heading"),
        Code("tfedge run\n  x", "sh"),
        Table(["what", "n"], [[bold("a*b"), code("c|d")]]),
    )
    assert text.split("\n")[:5] == ["run", "", "head", "", "Part"]
    assert text.split("\n")[6:] == [
        *("", "bold em a|b link a < b", ""),
        *("- *as it is*", "- two", "", "Heading", "", "  tfedge run", "    x", ""),
        *("what     n", "──────────", "a*b    c|d", ""),
    ]


def test_figures_are_bars_and_curves() -> None:
    text = shown(
        Figure("How many", Bars([("a", 4.0, "four"), ("b", 1.0, "one"), ("c", 0.0, "none")])),
        Figure("Loss", Curves("epoch", "loss", {"head": [(0, 3.0), (1, 2.0), (2, 1.0)]})),
        Figure("Plane", Points("x", "y", [("a", 1.0, 2.0)])),
        Figure("Samples", Strips("ms", [("a", [1.0, 2.0], "1.5 ms")])),
        Figure("Layers", Places("TPU", "CPU", [("a", True)])),
        Figure("Each", Panels([("size", Bars([("a", 2.0, "2 kB")]))])),
    )
    assert text.split("\n")[7:] == [
        *("How many", f"a  {'█' * 30}  four", f"b  {'█' * 8}{' ' * 22}  one"),
        *(f"c  {' ' * 30}  none", ""),
        *("Loss", f"head  █▅▁{' ' * 27}  loss 3 → 1", ""),
        *("Each: size", f"a  {'█' * 30}  2 kB", ""),
    ]


def test_a_stream_that_has_ascii_only() -> None:
    curve = Figure("Loss", Curves("epoch", "loss", {"a": [(0, 3.0), (1, 1.0)]}))
    text = shown(Table(["a", "b"], [["x", 1]]), curve, encoding="ascii")
    assert text.split("\n")[4:10] == ["Part", "====", "", "a   b", "-----", "x   1"]
    assert "a  @_ " in text and "\\u" not in text


@pytest.mark.parametrize("name", [*AWKWARD, "[red]x[/red]", ":warning:", "\x1b[2J", "猫"])
def test_a_name_is_shown_as_it_is_wherever_it_stands(name: str) -> None:
    said = " ".join(name.replace("\x1b", "?").split())
    figure = Figure("title", Bars([(name, 1.0, name)]))
    blocks = (Table([name, "n"], [[name, name], [code(name), bold(name)]]), Bullets([name]))
    text = shown(*blocks, Heading(name), Code(name), figure, title=name, part=name)
    assert text.count(said) == 12, text
    assert "\x1b" not in text


def test_on_a_terminal_it_is_as_wide_as_that(run: tuple[Path, dict[str, Any]]) -> None:
    pytest.importorskip("pyte")
    from terminal_helpers import Terminal, environment

    folder, _ = run
    command = (sys.executable, "-m", "tfedge", "show", "--full", str(folder))
    screen = Terminal(*command, cwd=folder, rows=900, columns=60, **environment())
    assert screen.end() == 0
    lines = screen.lines
    assert lines[0] == "color" and "Appendix: stages" in lines and len(lines) < 900
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", screen.raw).decode().splitlines()
    assert max(map(len, plain)) <= 60  # nothing is left to the terminal to break
    assert b"\x1b[1m" in screen.raw


def test_programs_get_the_summary_too(run: tuple[Path, dict[str, Any]]) -> None:
    folder, result = run
    found = document(result, folder)
    check("events", {"time": 1.5, "event": "result", **found})
    assert found["run"] == result and found["summary"] == summary(result, folder)
    warning = next(text for text in found["warnings"] if "also chose the weights" in text)
    assert f"warning: {warning[:40]}" in found["summary"]


def test_what_was_told_is_not_told_again(run: tuple[Path, dict[str, Any]]) -> None:
    folder, result = run
    said = [f"warning: {text}" for text in document(result, folder)["warnings"]]
    whole, rest = summary(result, folder), summary(result, folder, said)
    assert "warning: " in whole and "warning: " not in rest
    assert [line for line in rest.splitlines() if line not in whole.splitlines()] == []
    assert summary(result, folder, ["another"]) == whole
