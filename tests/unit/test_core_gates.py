"""When the gates are held: as soon as all that explains a miss is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core_fakes import TABLE, calls, go, prepare, run_json

from tfedge.core.stages import Stage
from tfedge.errors import GateFailed

DEBUG = Stage(
    "debug",
    "core_fakes:debug",
    inputs=("evaluate/metrics.json",),
    outputs=("debug.json",),
    config=("debug",),
    section="quantize.debug",
    auto="evaluate",
)
WITH_DEBUG = (*TABLE[:5], DEBUG, *TABLE[5:])
GATE = "evaluate.gates={max_accuracy_drop: 0.02}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def test_a_gate_of_accuracy_waits_for_the_layers(folder: Path) -> None:
    with pytest.raises(GateFailed, match=r"max_accuracy_drop: limit 0\.02, got 0\.03") as caught:
        go(folder, GATE, table=WITH_DEBUG)
    assert caught.value.exit_code == 6
    assert calls(folder)[-2:] == ["evaluate", "debug"]  # and nothing behind them
    left = folder / "runs" / "latest" / "debug" / "debug.json"
    assert json.loads(left.read_text()) == {"layers": ["conv_7"]}
    assert run_json(folder)["status"] == "gate failed"


def test_without_debug_in_the_run_it_does_not_wait(folder: Path) -> None:
    for override, options in (("quantize.debug=false", {}), ("seed=1", {"stop": "evaluate"})):
        with pytest.raises(GateFailed, match="max_accuracy_drop"):
            go(folder, GATE, override, table=WITH_DEBUG, **options)
        assert "debug" not in calls(folder)
        assert "debug" not in [row["name"] for row in run_json(folder)["stages"]]


def test_a_gate_that_holds_lets_the_run_go_on_behind_debug(folder: Path) -> None:
    result, _ = go(folder, "evaluate.gates={max_accuracy_drop: 0.03}", table=WITH_DEBUG)
    assert result["status"] == "ok" and calls(folder)[-1] == "package"
