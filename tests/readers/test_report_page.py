"""report.html in a real browser: at the width of a phone, in the dark, on paper, and by axe-core's
rules of accessibility."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from color_helpers import CLASSES
from report_helpers import coral, judged, origin, result_of

from tests.output_helpers import comparison
from tfedge.core.outputs import LayerHarm, dump
from tfedge.report import html, written
from tfedge.report.document import Document
from tfedge.tasks import pictures
from tfedge.tasks.blocks import Bars, Box, Figure, Part, Picture, Pictures, Places

Ask = Callable[..., Any]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PAGES = ("report.html", "drawn.html")
WORST = "a-very-long-name/of_a_file_that_has_no_blank/" + "x" * 90 + ".png"

# Around the page: its frame may be looked into, which the page itself, without a script, can't.
AROUND = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="page" src="{page}" style="border:0;width:{width}px;height:900px"></iframe>
<pre id="said"></pre><script>
page.onload = async () => {{
  const view = page.contentWindow, all = page.contentDocument;
  const ask = async () => {{ {script} }};
  let told; try {{ told = await ask(); }} catch (error) {{ told = {{error: String(error)}}; }}
  said.textContent = JSON.stringify(told);
}};
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a report of everything that a small run leaves, and names that are too long."""
    if BROWSER is None:
        pytest.skip("no chromium on this machine")
    measured = [result_of("float", *range(20, 40), 900.0), result_of("int8", *range(9, 20))]
    asked = {"min_accuracy": 0.5, "max_size": 10}
    place = tmp_path_factory.mktemp("page")
    run, result = judged(place, *measured, evaluate={"gates": asked})
    result = coral(run, result, run.folder / "convert" / "float.tflite")
    layer = {"name": "point", "size": 32, "zeros": 16, "target": 16, "frozen": False}
    sparsity = {"target": 0.5, "reached": 0.5, "total": 32, "zeros": 16}
    layers = [{**layer, "name": f"{WORST}{n}"} for n in range(40)]
    (run.folder / "prune" / "sparsity.json").write_text(json.dumps({**sparsity, "layers": layers}))
    near = [{"path": f"val/{name}/00.png", "label": name, "split": "val"} for name in CLASSES]
    audit = json.loads((run.folder / "data" / "audit.json").read_text())
    bad = {"path": f"{WORST}.png", "reason": "damaged"}
    run.add("data/audit.json", audit | {"near": [{"pictures": near}], "skipped": [bad]})
    run.add("debug/debug.json", dump(comparison(layers=[*map(harm, range(30))])))
    written.write(run.folder, result, origin(run))
    boxes = [Box((0.1, 0.1, 0.6, 0.5), "cat", state) for state in ("there", "right", "wrong")]
    jpeg = pictures.jpeg(np.full((64, 64, 3), 90, np.uint8), 64)
    profile = Bars([("9 CONV_2D", 2.0, "2 ms"), ("1 SOFTMAX", 0.1, "0.1 ms")])
    drawn = [
        Figure("Where the time goes", profile),
        Pictures("Boxes", [Picture(WORST, "F1 0.50; found cat 0.90", jpeg, boxes)], large=True),
        Figure(
            "Many ops", Places("Edge TPU", "CPU", [(f"{n} ADD", n % 9 > 0) for n in range(600)])
        ),
    ]
    page = html.text(Document("drawn", [], [Part("Drawn", drawn)]))
    (run.folder / "drawn.html").write_text(page, "utf-8")
    return run.folder


def harm(number: int) -> LayerHarm:
    unit = f"block_{number}_of_a_layer_with_a_name_that_is_long"
    given = {"divergence": 1 / (number + 1), "agreement": 0.5, "error": 0.5, "sqnr_db": 20.0}
    return LayerHarm(unit=unit, kept="int8", **given)


def chromium(folder: Path, *words: str) -> str:
    assert BROWSER is not None
    place = folder.parent / "profile"
    common = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={place}")
    ran = subprocess.run(
        [BROWSER, *common, "--allow-file-access-from-files", *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def ask(folder: Path) -> Ask:
    """``ask("return view.innerWidth", width=390)``: what JavaScript says of the page."""

    def run(script: str, *flags: str, width: int = 1200, page: str = "report.html") -> Any:
        around = AROUND.format(width=width, script=script, page=page)
        (folder / "around.html").write_text(around, "utf-8")
        address = (folder / "around.html").as_uri()
        dom = chromium(folder, "--virtual-time-budget=20000", "--dump-dom", *flags, address)
        found = re.search(r'<pre id="said">(.*?)</pre>', dom, re.S)
        assert found and found[1], dom[-500:]
        told = json.loads(escaping.unescape(found[1]))
        assert not (isinstance(told, dict) and "error" in told), told
        return told

    return run


@pytest.mark.parametrize("width", [320, 390, 1200])
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_wider_than_the_screen(ask: Ask, page: str, width: int) -> None:
    script = "return [view.innerWidth, all.documentElement.scrollWidth, all.links.length]"
    inner, scrolled, links = ask(script, width=width, page=page)
    assert inner == width and scrolled <= width and links > 1


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_figures_are_legible(ask: Ask, width: int) -> None:
    """On a phone, too: no text in them is smaller than 9 pixels, and images have the size that they
    were made with, or so."""
    script = """
      const scale = text => text.getBoundingClientRect().height / text.getBBox().height;
      const size = text => parseFloat(view.getComputedStyle(text).fontSize);
      const drawn = [...all.querySelectorAll('svg text')].map(t => size(t) * scale(t));
      const said = [...all.querySelectorAll('figure :is(p, span, li, div)')].map(
        one => parseFloat(view.getComputedStyle(one).fontSize));
      const sides = [...all.querySelectorAll('img')].map(one => one.clientWidth);
      return [Math.min(...drawn, ...said), Math.min(...sides), Math.max(...sides)]
    """
    smallest, narrow, wide = ask(script, width=width)
    assert smallest >= 8.5 and narrow >= 80 and wide <= 180


def test_images_are_loaded_from_the_page(ask: Ask) -> None:
    """They stand in it, so the page has them when it is loaded. (``decode()`` would wait for a
    thread that the browser's virtual time doesn't count.)"""
    script = "return [...all.images].map(one => one.complete && one.naturalWidth)"
    assert set(ask(script)) == {32} and set(ask(script, page="drawn.html")) == {64}


def test_boxes_lie_on_the_image(ask: Ask) -> None:
    left, top, right, bottom = ask(
        "const image = all.querySelector('img').getBoundingClientRect();"
        "const box = all.querySelector('path.right').getBoundingClientRect();"
        "const x = at => (at - image.left) / image.width;"
        "const y = at => (at - image.top) / image.height;"
        "return [x(box.left), y(box.top), x(box.right), y(box.bottom)]",
        page="drawn.html",
    )
    assert (left, top, right, bottom) == pytest.approx((0.1, 0.1, 0.6, 0.5), abs=0.01)


def test_a_long_table_is_folded_and_opens(ask: Ask) -> None:
    before, after = ask(
        "const one = all.querySelector('details'), row = one.querySelector('tbody tr');"
        "const before = row.checkVisibility({contentVisibilityAuto: true});"
        "one.querySelector('summary').click(); return [before, row.checkVisibility()]"
    )
    assert (before, after) == (False, True)


def luminance(color: str) -> float:
    """WCAG 2.1's relative luminance of ``rgb(…)``."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_by_day_and_by_night(ask: Ask, dark: bool) -> None:
    flags = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    paper, *inks = ask(
        "const of = (s, p) => view.getComputedStyle(all.querySelector(s))[p];"
        "return [of('body', 'backgroundColor'), of('p', 'color'), of('nav a', 'color'),"
        " of('thead th', 'color')]",
        *flags,
    )
    assert (luminance(paper) < 0.2) is dark
    for ink in inks:
        light, shade = sorted((luminance(paper), luminance(ink)), reverse=True)
        assert (light + 0.05) / (shade + 0.05) >= 4.5  # WCAG 2.1, AA


def test_on_paper_folded_tables_are_open(folder: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on this machine")
    pdf = folder / "report.pdf"
    chromium(folder, f"--print-to-pdf={pdf}", (folder / "report.html").as_uri())
    said = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True)
    assert ".png39" in re.sub(r"\s", "", said.stdout)


class Listening(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host']}{self.path}")
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def requests_of(folder: Path, name: str) -> list[str]:
    """What the browser asks for over HTTP, of any host, while it shows a page; without what it asks
    of its own maker's."""
    Listening.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Listening, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        rules = f"--host-resolver-rules=MAP * 127.0.0.1:{server.server_port}"
        chromium(
            folder, rules, "--virtual-time-budget=5000", "--dump-dom", f"http://run.test/{name}"
        )
        server.shutdown()
    own = ("clients2.google.com/", "run.test/favicon.ico")
    return [one for one in Listening.asked if not one.startswith(own)]


def test_no_request_leaves_the_page(folder: Path) -> None:
    assert requests_of(folder, "report.html") == ["run.test/report.html"]
    page = (folder / "report.html").read_text("utf-8")
    asking = page.replace("<main", '<img alt="" src="http://other.test/i.png"><main')
    (folder / "blocked.html").write_text(asking, "utf-8")  # whatever gets in: the page forbids it
    assert requests_of(folder, "blocked.html") == ["run.test/blocked.html"]
    (folder / "asking.html").write_text(re.sub(r"<meta http-equiv=.*?>", "", asking), "utf-8")
    assert "other.test/i.png" in requests_of(folder, "asking.html")  # it would have been seen


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core of the npm registry."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    place = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        ["npm", "pack", "axe-core@4", "--silent"], cwd=place, capture_output=True, text=True
    )
    if packed.returncode:
        pytest.skip(f"npm has no axe-core: {packed.stderr[-200:]}")
    subprocess.run(["tar", "xzf", packed.stdout.strip()], cwd=place, check=True)
    return (place / "package" / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(folder: Path, axe: str, name: str, dark: bool) -> None:
    page = (folder / name).read_text("utf-8")
    page = re.sub(r"<meta http-equiv=.*?>", "", page).replace("<details>", "<details open>")
    run = "axe.run().then(found => { said.textContent = JSON.stringify(found.violations) })"
    script = f'<pre id="said" hidden></pre><script>{axe}\n{run}</script></body>'
    place = folder / "axe.html"
    place.write_text(page.replace("</body>", script), "utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom = chromium(folder, "--virtual-time-budget=60000", "--dump-dom", scheme, place.as_uri())
    found = re.search(r'<pre id="said" hidden="">(.*?)</pre>', dom, re.S)
    assert found and found[1]
    violations = json.loads(escaping.unescape(found[1]))
    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []
