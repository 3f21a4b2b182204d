"""tools/scale.py: its images, its table, and what it says of growth."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import scale  # noqa: E402
from scale import Cost, growing, make_images, note, table  # noqa: E402

from tfedge.data.listing import list_folder  # noqa: E402
from tfedge.pipeline.load import load_pipeline  # noqa: E402


def costs(seconds: float, mb: float, size: int) -> scale.Costs:
    rows = {"data": Cost(seconds, mb, size), "prune": Cost(2 * seconds, mb, 0)}
    return {**rows, scale.FITTED_HEAD: Cost(seconds / 2, mb, 0)}


def test_images_are_the_same_every_time_and_all_others(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        make_images(tmp_path / folder, 60, 32)
    files = sorted((tmp_path / "one").rglob("*.jpg"))
    contents = [path.read_bytes() for path in files]
    assert len(files) == len({*contents}) == 60
    again = [tmp_path / "two" / path.relative_to(tmp_path / "one") for path in files]
    assert contents == [path.read_bytes() for path in again]
    before = files[0].stat().st_mtime_ns
    make_images(tmp_path / "one", 60, 32)
    assert files[0].stat().st_mtime_ns == before


@pytest.mark.parametrize("text", [scale.PIPELINE, scale.FITTED])
def test_its_pipelines_are_such_and_find_its_images(text: str, tmp_path: Path) -> None:
    make_images(tmp_path, 100, 32)
    file = tmp_path / "scale.yaml"
    file.write_text(text.format(images=tmp_path / "images", size=32))
    pipeline = load_pipeline(file)
    listed = list_folder(Path(str(pipeline.data.path)), pipeline.data.split, None, None)
    splits = [entry.split for entry in listed.entries]
    assert (splits.count("train"), splits.count("val")) == (80, 20)
    assert len({entry.label for entry in listed.entries}) == scale.CLASSES


def test_the_table_has_three_columns_a_count() -> None:
    found = {1000: costs(10, 500, 4_000_000), 100: costs(1, 400, 300_000)}
    lines = table(found).splitlines()
    assert lines[0].startswith(
        "| stage | 100 images: s | MB | cache, kB an image | 1,000 images: s"
    )
    assert lines[2] == "| data | 1.0 | 400 | 3.0 | 10.0 | 500 | 4.0 |"
    assert lines[4] == "| all | 3.0 | 400 | 3.0 | 30.0 | 500 | 4.0 |"
    assert lines[5] == "| finetune, a fitted head | 0.5 | 400 | 0.0 | 5.0 | 500 | 0.0 |"
    assert {line.count("|") for line in lines} == {8}


def test_what_grows_is_named() -> None:
    linear = {100: costs(5, 400, 0), 1000: costs(60, 500, 0)}
    assert growing(linear) == [] and "memory is flat" in note(linear, 96)
    faster = {100: costs(5, 400, 0), 1000: costs(70, 900, 0)}
    assert growing(faster) == [
        *("data: 5.0 → 70.0 s", "data: 400 → 900 MB"),
        *("prune: 10.0 → 140.0 s", "prune: 400 → 900 MB"),
        *("finetune, a fitted head: 2.5 → 35.0 s", "finetune, a fitted head: 400 → 900 MB"),
    ]
    assert "Grows: data: 5.0" in note(faster, 96)
    short = {100: costs(0.1, 400, 0), 1000: costs(4, 400, 0)}
    assert growing(short) == [], "less than a second says nothing"


def test_the_page_has_a_place_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((ROOT / scale.PAGE).read_text(encoding="utf-8"), encoding="utf-8")
    scale.put_into(page, "scale", "tools/scale.py", "| table |\n")
    assert "| table |\n<!-- /scale -->" in page.read_text(encoding="utf-8")
