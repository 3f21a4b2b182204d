"""tools/detection_table.py: what it makes of runs, and what it does not run or publish twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import detection_table  # noqa: E402

MARK = "<!-- detection table: written by tools/detection_table.py -->\n"


def figures(**more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "head": 0.879,
        **{"float_map50": 0.887, "float_map": 0.538, "int8_map50": 0.885, "int8_map": 0.521},
        **{"n": 72, "boxes": 979, "bytes": 1_234_567, "sparsity": 0.5},
        **{"float_tensors": 0, "custom_ops": 0, "ops": 80, "mapped": 80, "subgraphs": 1},
        **{"ms": {"float": 8.0, "int8": 4.0}, "unstable": [], "seconds": 900.4, "cpu": "a cpu"},
    }
    return facts | more


def row(name: str = "bccd", seed: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "seed": seed, "set": [], **figures(**more)}


def test_seeds_have_a_mean_and_its_error() -> None:
    told = detection_table.table([row(), row(seed=2, int8_map50=0.881), row("mobilenetv2")])
    first = "| 1 | 87.9 % | 88.7 % | 53.8 % | 88.5 % | 52.1 % | −0.2 |"
    assert f"| BCCD, MobileNetV2, 257 pixels, 50 % zero, `qat` {first}" in told
    assert "| mean of 2 seeds | | 87.9 % | 88.7 % | 53.8 % | 88.3 % | 52.1 % | −0.4 ± 0.2 |" in told
    assert "mean of 1" not in told
    assert "| 72 | 1,234,567 | 50 % | 0 | 0 | 80 of 80 | 8.00 : 4.00 | 900 |" in told


def test_what_was_not_measured_is_no_figure() -> None:
    told = detection_table.table([row(head=None, ms={}, seconds=None, sparsity=None)])
    assert "| 1 | – | 88.7 % |" in told and "| – | 0 | 0 | 80 of 80 | – | – |" in told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"int8_map50": 0.86}, ["bccd, seed 1: int8 loses 2.7 points of mAP@.5, more than 2"]),
        ({"float_tensors": 2}, ["bccd, seed 1: 2 float tensors, 0 custom"]),
        ({"custom_ops": 1}, ["bccd, seed 1: 0 float tensors, 1 custom"]),
        ({"mapped": 70}, ["bccd, seed 1: 10 ops are left to the CPU"]),
        ({"unstable": ["int8"]}, ["bccd, seed 1: the latency of int8 is unstable"]),
    ],
)
def test_what_does_not_hold_is_told(changed: dict[str, Any], told: list[str]) -> None:
    assert detection_table.doubts([row(**changed)]) == told


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "detection.md"
    found.write_text(f"before\n{MARK}old\n<!-- /detection table -->\nafter\n")
    monkeypatch.setattr(detection_table, "PAGE", found)
    return found


def measured(monkeypatch: pytest.MonkeyPatch, *words: object) -> list[tuple[str, int]]:
    """Which cells were run for these words of the command line."""
    ran = []

    def run(cell: detection_table.Cell, bccd: Path, cache: Path) -> dict[str, Any]:
        ran.append((cell.name, cell.seed))
        return figures()

    monkeypatch.setattr(detection_table, "run", run)
    monkeypatch.setattr(sys, "argv", ["detection_table.py", *map(str, words)])
    detection_table.main()
    return ran


def test_what_stands_in_the_results_is_not_run_again(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.jsonl"
    words = ("--results", results, "--bccd", tmp_path, "bccd", "mobilenetv2")
    few = measured(monkeypatch, *words, "--seeds", 1)
    assert few == [("bccd", 1), ("mobilenetv2", 1)]
    assert measured(monkeypatch, *words, "--write") == [("bccd", 2), ("bccd", 3)]
    assert len(results.read_text().splitlines()) == 4
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "mean of 3 seeds" in text
    assert measured(monkeypatch, *words) == []


def test_changed_keys_are_cells_of_their_own_and_not_written(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.jsonl"
    words = ("mobilenetv2", "--results", results)
    assert measured(monkeypatch, *words) == [("mobilenetv2", 1)]
    quick = ("--set", "finetune.epochs=1")
    assert measured(monkeypatch, *words, *quick) == [("mobilenetv2", 1)]
    assert [json.loads(line)["set"] for line in results.read_text().splitlines()] == [
        [],
        ["finetune.epochs=1"],
    ]
    with pytest.raises(SystemExit):
        measured(monkeypatch, *words, *quick, "--write")
    assert "old" in page.read_text()


def test_beside_other_work_nothing_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.jsonl"
    measured(monkeypatch, "mobilenetv2", "--results", results, "--shared")
    found = json.loads(results.read_text())
    assert (found["seconds"], found["ms"], found["int8_map50"]) == (None, {}, 0.885)


def test_an_unstable_latency_is_not_published(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps(row("mobilenetv2", unstable=["int8"])) + "\n")
    with pytest.raises(SystemExit, match="latencies are unstable: mobilenetv2, seed 1"):
        measured(monkeypatch, "mobilenetv2", "--results", results, "--write")
    assert "old" in page.read_text()


@pytest.mark.parametrize("words", [("bccd",), ("mobilenetv4",)])
def test_what_can_not_be_measured_is_said(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        measured(monkeypatch, *words)
    said = capsys.readouterr().err
    assert ("--bccd: where BCCD lies" in said) or ("no such cell: mobilenetv4" in said)


def test_the_page_has_a_place_for_the_table() -> None:
    assert MARK in (ROOT / "docs" / "detection.md").read_text("utf-8")
