"""``quantize.debug: auto``: when the layers are looked at, and when that is not needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from color_helpers import Run, make_run

from tests.output_helpers import comparison, evaluation
from tfedge.core.outputs import LayerComparison, dump
from tfedge.errors import UnsupportedModel
from tfedge.stages import debug
from tfedge.tasks.table import task_of

TOP1 = task_of("image-classification").primary


def evaluated(
    tmp: Path, plain: float | None, int8: float | None, pruned: float | None = None, **sections: Any
) -> Run:
    run = make_run(tmp, **sections)
    top1 = {"float": plain, "pruned": pruned, "int8": int8}
    known = {name: share for name, share in top1.items() if share is not None}
    if known:
        run.add("evaluate/metrics.json", dump(evaluation(TOP1, known)))
    return run


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each look was a quick one."""
    found: list[bool] = []

    def measured(ctx: Any, quick: bool) -> LayerComparison:
        found.append(quick)
        return comparison()

    monkeypatch.setattr(debug, "_measured", measured)
    return found


def written(run: Run) -> dict[str, Any]:
    debug.run(run.context("debug"))
    return run.json("debug/debug.json")


@pytest.mark.parametrize(("plain", "int8"), [(0.9, 0.9), (0.9, 0.89), (0.9, 0.95), (0.9, None)])
def test_a_point_or_less_is_no_reason_to_look(
    tmp_path: Path, looks: list[bool], plain: float, int8: float | None
) -> None:
    found = written(evaluated(tmp_path, plain, int8))
    assert not found["needed"] and "layers" not in found and looks == []
    assert found["why"].startswith(
        "top-1 of int8 is not worse than float by more than 0.01 (float 90.0%"
    )


def test_more_than_a_point_is(tmp_path: Path, looks: list[bool]) -> None:
    found = written(evaluated(tmp_path, 0.9, 0.885))
    assert found == dump(comparison()) and looks == [True]


def test_what_pruning_lost_is_not_laid_to_8_bits(tmp_path: Path, looks: list[bool]) -> None:
    found = written(evaluated(tmp_path, 0.91, 0.86, pruned=0.87))
    assert not found["needed"] and looks == []
    assert "was lost in pruned, not by 8 bits (float 91.0%, int8 86.0%)" in found["why"]
    for name, pruned in (("half each", 0.882), ("pruning more", 0.875), ("8 bits all", 0.93)):
        assert "layers" in written(evaluated(tmp_path / name, 0.91, 0.86, pruned=pruned))
    assert looks == [True] * 3


def test_the_worst_layers_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug, "_measured", lambda ctx, quick: comparison(quick=quick))
    run = evaluated(tmp_path, 0.9, 0.8)
    written(run)
    (note,) = run.said.notes
    assert note.startswith("warning: 8 bits change the answer to 4 of 8 val examples")
    assert "conv_7 (20.0)" in note


def test_a_stricter_gate_is_reason_enough(tmp_path: Path, looks: list[bool]) -> None:
    gates = {"gates": {"max_accuracy_drop": 0.002}}
    assert "layers" in written(evaluated(tmp_path, 0.9, 0.895, evaluate=gates))
    assert not written(evaluated(tmp_path / "2", 0.9, 0.899, evaluate=gates))["needed"]
    assert looks == [True]


def test_without_evaluation_automatic_does_nothing_and_asked_for_all(
    tmp_path: Path, looks: list[bool]
) -> None:
    assert written(evaluated(tmp_path, None, None))["why"] == "nothing was evaluated"
    asked = evaluated(tmp_path / "2", None, None, quantize={"debug": True})
    assert "layers" in written(asked) and looks == [False]


def test_what_can_not_be_compared_stops_no_run_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(ctx: Any, quick: bool) -> LayerComparison:
        raise UnsupportedModel("quantize.debug can't be had for", ["odd"], "leave it out")

    monkeypatch.setattr(debug, "_measured", refused)
    run = evaluated(tmp_path, 0.9, 0.5)
    found = written(run)
    assert found["needed"] and "odd" in found["why"] and "layers" not in found
    assert any("odd" in note for note in run.said.notes)
    with pytest.raises(UnsupportedModel):
        written(evaluated(tmp_path / "2", 0.9, 0.5, quantize={"debug": True}))


def test_nothing_heavy_is_loaded_to_find_out_that_nothing_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tfedge.stages.harms", None)  # an import of it fails
    assert not written(evaluated(tmp_path, 0.9, 0.9))["needed"]
    with pytest.raises(ImportError):
        written(evaluated(tmp_path / "2", 0.9, 0.5))
