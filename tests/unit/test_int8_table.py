"""tools/int8_table.py: what it makes of measurements, and what it does not publish."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import int8_table  # noqa: E402


def told(ms: float, size: int, agreement: float, unstable: list[str] | None = None) -> dict:
    return {
        "median_ns": ms * 1e6,
        "unstable": unstable or [],
        "runtime": "LiteRT 2.3.0",
        "bytes": size,
        "top1": agreement - 0.1,
        "agreement": agreement,
        "kl": 0.01,
    }


def row(name: str = "MobileNet", **more: Any) -> dict:
    files = {
        "float": told(4, 1000, 1.0),
        "tfedge": told(1, 250, 0.99),
        "tfedge_by_float": told(0.8, 250, 0.99),
        "tflite": told(2, 300, 0.9),
    }
    said = {"aeq": "no such op"}
    facts: dict[str, Any] = {
        "size": 224,
        "asked_size": 64,
        "n": 200,
        "data": "sample:digits",
        "weights": "random",
        "date": "2026-11-27",
        "cpu": "a cpu",
    }
    return {
        "name": name,
        **facts,
        "commit": "abc",
        "processes": 5,
        "files": files,
        "refused": said,
    } | more


def test_a_row_has_shares_of_the_float_model_and_says_who_refused() -> None:
    (line,) = int8_table.table({"MobileNet": row()}).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        *("MobileNet", "224", "64", "4.0"),
        *("0.25", "0.20", "0.50", "refused"),
        *("0.250", "0.300", "refused"),
        *("99.0%", "90.0%", "refused"),
        *("89.0%", "80.0%", "refused"),
    ]
    assert "a cpu; LiteRT 2.3.0, 1 thread" in int8_table.note({"MobileNet": row()})


def test_what_was_not_measured_is_empty() -> None:
    older = row()
    del older["files"]["tfedge_by_float"]
    (line,) = int8_table.table({"MobileNet": older}).splitlines()[2:]
    assert "| 4.0 | 0.25 |  | 0.50 | refused |" in line


def test_what_is_there_is_read_and_a_torn_line_is_not(tmp_path: Path) -> None:
    file = tmp_path / "int8.jsonl"
    assert int8_table.load(file) == {}
    file.write_text(f'{json.dumps(row())}\n{json.dumps(row(n=9))}\n{{"name": "Res')
    assert {name: found["n"] for name, found in int8_table.load(file).items()} == {"MobileNet": 9}


def test_an_unstable_latency_is_marked_and_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = row()
    busy["files"]["tfedge"] = told(1, 250, 0.99, ["the machine was busy"])
    assert "0.25 (unstable)" in int8_table.table({"MobileNet": busy})
    file, page = tmp_path / "int8.jsonl", tmp_path / "speed.md"
    file.write_text(json.dumps(busy) + "\n")
    mark = "<!-- int8: written by tools/int8_table.py -->\n"
    page.write_text(f"{mark}old\n<!-- /int8 -->\n")
    monkeypatch.setattr(int8_table, "PAGE", page)
    words = ["int8_table.py", "--write", "--results", str(file), "--aeq-python", "x", "MobileNet"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="MobileNet, tfedge: the machine was busy"):
        int8_table.main()
    assert "old" in page.read_text()
    file.write_text(json.dumps(row()) + "\n")
    int8_table.main()
    assert "| MobileNet | 224 |" in page.read_text()
