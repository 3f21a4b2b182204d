"""Images in a report: what is shown of the data, and what is said of what can't be."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import html5lib
import numpy as np
import pytest
from color_helpers import SIZE, Run, make_run, pixels
from PIL import Image

from tfedge.core.context import Origin
from tfedge.report import html, written
from tfedge.report.document import Document
from tfedge.report.markup import render
from tfedge.stages import evaluate
from tfedge.tasks import pictures
from tfedge.tasks.blocks import Box, Part, Picture, Pictures

RESULT = {"pipeline": "color", "status": "ok", "seconds": 3, "stages": []}
JPEG = pictures.jpeg(np.full((8, 8, 3), 200, np.uint8), 8)


def page_of(text: str):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def shown(*blocks: Pictures):
    return page_of(html.text(Document("run", [], [Part("Part", blocks)])))


def decoded(image) -> Image.Image:
    head, _, content = image.get("src").partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def told(element) -> str:
    return " ".join("".join(element.itertext()).split())


def report(run: Run) -> tuple[str, str]:
    """Markdown and page."""
    origin = Origin(run.pipeline, run.root, run.root.parent / "cache")
    markdown = written.write(run.folder, RESULT, origin).read_text("utf-8")
    return markdown, (run.folder / "report.html").read_text("utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two reds are greens in truth, and so answered wrong."""
    made = make_run(tmp_path, mislabelled=2)
    evaluate.run(made.context("evaluate"))
    made.inputs["evaluate/metrics.json"] = made.folder / "evaluate" / "metrics.json"
    return made


def gallery(page, title: str) -> list:
    (found,) = [
        one for one in page.findall(".//figure") if told(one.find("figcaption")).startswith(title)
    ]
    return found.findall(".//li")


def test_a_thumbnail_is_small_and_still_the_image() -> None:
    size = 300
    ramp = np.repeat(np.linspace(0, 255, size).astype(np.uint8)[None, :, None], size, 0)
    content = pictures.jpeg(np.repeat(ramp, 3, 2), 96)
    image = Image.open(io.BytesIO(content))
    assert image.size == (96, 96) and len(content) < 4096
    got = np.asarray(image)[48, :, 0].astype(int)
    assert np.abs(got - np.linspace(0, 255, 96)).max() < 8  # a JPEG's rounding
    assert Image.open(io.BytesIO(pictures.jpeg(pixels(0, 1), 96))).size == (SIZE, SIZE)


def test_worst_images_stand_beside_what_was_answered(run: Run) -> None:
    markdown, text = report(run)
    items = gallery(page_of(text), "The worst, as the model saw them")
    said = "red, answered green"
    assert sorted(map(told, items)) == [f"val/red/00.png {said}", f"val/red/01.png {said}"]
    for item in items:
        image = item.find(".//img")
        name = told(item).split()[0]
        assert image.get("alt") == f"{name} as the model sees it"
        got = np.asarray(decoded(image)).astype(int)
        truth = np.asarray(Image.open(run.root / name)).astype(int)
        # Of noise a JPEG keeps the mean; the green of these was made brighter by 60.
        assert np.abs(got.mean((0, 1)) - truth.mean((0, 1))).max() < 4
        assert got[..., 1].mean() > got[..., 0].mean() + 40
    worst = markdown.partition("## Worst images")[2].partition("\n## ")[0]
    assert worst.count("val/red/00.png") == 1  # the table says it; Markdown shows no image


def test_what_is_gone_or_changed_is_said(run: Run) -> None:
    (run.root / "val/red/00.png").unlink()
    (run.root / "val/red/01.png").write_bytes((run.root / "val/blue/00.png").read_bytes())
    store = run.root.parent / "cache" / "store"
    for file in sorted(store.rglob("*"), reverse=True):  # what evaluate had decoded
        file.rmdir() if file.is_dir() else file.unlink()
    _, text = report(run)
    said = {told(one) for one in gallery(page_of(text), "The worst")}
    assert any("not shown: can't be read: No such file" in one for one in said), said
    assert any("not shown: changed since it was scanned" in one for one in said), said
    assert str(run.root) not in text


def test_samples_are_of_each_class_and_always_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path, split="train", each=6)
    _, text = report(run)
    items = gallery(page_of(text), "Training images as they are fed")
    assert [told(one).split()[1] for one in items] == [
        name for name in ("red", "green", "blue") for _ in range(4)
    ]
    assert "32×32 pixels by <code>data.fit: crop</code>" in text
    assert report(run)[1] == text


def test_what_the_audit_complains_of_is_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    pair = [
        {"path": f"val/red/0{n}.png", "label": "red", "split": s}
        for n, s in ((0, "val"), (1, "train"))
    ]
    Image.fromarray(pixels(2, 7)).save(run.root / "odd.png")  # in no index: it was left out
    odd = [{"path": "odd.png", "label": name, "split": ""} for name in ("red", "blue")]
    audit = {
        "skipped": [{"path": "bad.png", "reason": "damaged: <cut>"}],
        "near": [{"pictures": pair}] * 20,
    }
    audit |= {"leaks": [], "conflicts": [{"pictures": odd}], "duplicates": 1, "warnings": []}
    audit |= {"copies": [{"pictures": pair}], "remarks": [{"path": "odd.png", "what": "one color"}]}
    run.add("data/audit.json", audit | {"imbalance": 1.0})
    page = page_of(report(run)[1])
    near = gallery(page, "Look alike in two splits, the first 6 of 20")
    assert len(near) == 12 and told(near[1]) == "val/red/01.png 1: red, train"
    conflict = gallery(page, "Under two labels")
    assert [told(one) for one in conflict] == [
        "odd.png 1: red",
        "odd.png 1: blue",
    ]
    assert np.asarray(decoded(conflict[0].find(".//img")))[..., 2].mean() > 110  # the blue one
    assert len(gallery(page, "Copies in one class and split")) == 2
    (remark,) = gallery(page, "One color")
    assert remark.find(".//img") is not None
    (bad,) = gallery(page, "Unreadable")
    assert told(bad) == "left out: damaged: <cut> bad.png" and bad.find(".//img") is None


def test_boxes_are_drawn_where_they_are_and_told() -> None:
    boxes = [
        Box((0.25, 0.5, 0.75, 1.0), "cat", "there"),
        Box((0.0, 0.0, 0.125, 0.5), "dog", "wrong"),
    ]
    page = shown(Pictures("Boxes", [Picture("a.png", "F1 0.50", JPEG, boxes)]))
    paths = [(one.get("class"), one.get("d")) for one in page.iter() if one.tag.endswith("path")]
    assert paths == [
        ("edge", "M25 50H75V100H25Z"),
        ("there", "M25 50H75V100H25Z"),
        ("edge", "M0 0H12.5V50H0Z"),
        ("wrong", "M0 0H12.5V50H0Z"),
    ]
    alt = page.find(".//img").get("alt")
    assert alt == "a.png as the model sees it, boxes: 1 there, 1 found wrongly"


@pytest.mark.parametrize("name", ['<b>x</b>"', "a|b`*", "</style><script>"])
def test_names_and_captions_are_shown_as_they_are(name: str) -> None:
    page = shown(Pictures(name, [Picture(name, name, JPEG), Picture(name, "", None, missing=name)]))
    first, second = page.findall(".//main//li")
    assert told(first) == told(second) == f"{name} {name}"
    assert first.find(".//img").get("alt") == f"{name} as the model sees it"
    assert page.find(".//script") is None and page.find(".//b") is None


def test_markdown_lists_captions_unless_a_table_has_them() -> None:
    one = [Picture("a.png", "red", JPEG), Picture("b.png", "", None, missing="gone")]
    assert render([Pictures("Samples", one)]) == ["- a.png: red", "- b.png: gone"]
    assert render([Pictures("Samples", one, listed=True)]) == []


def test_images_are_data_of_the_page_alone() -> None:
    text = html.text(Document("run", [], [Part("P", [Pictures("x", [Picture("a", "b", JPEG)])])]))
    assert "default-src 'none'; img-src data:;" in text
    assert all(
        src.startswith("data:image/jpeg;base64,") for src in re.findall(r'src="([^"]*)', text)
    )
