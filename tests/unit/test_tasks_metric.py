"""A task's metric in words, and what is warned of and gated where less of it is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_helpers import make_run

from tests.output_helpers import comparison, evaluation, history, phase
from tfedge.core import gates
from tfedge.core.outputs import Distillation, Gap, Phase, Robustness, ValidationResult, dump
from tfedge.core.result import StageResults
from tfedge.errors import GateFailed
from tfedge.pipeline.schema import Finetune, pipeline_of
from tfedge.report import facts
from tfedge.report.markup import render
from tfedge.report.robustness import robustness
from tfedge.stages import advice, debug, phases
from tfedge.tasks.paired import mcnemar
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Metric

TASK = task_of("image-classification")
TOP1 = TASK.primary
ERRORS = Metric("errors", "error rate", higher=False)
MAE = Metric("mae", "mean absolute error", higher=False, share=False)
GAIN = Metric("gain", "gain", share=False)

# ------------------------------------------------------------------ in words


@pytest.mark.parametrize(
    ("metric", "value", "text", "figure", "plain"),
    [
        (TOP1, 0.8114, "81.1%", "81.1 %", "81.1"),
        (TOP1, 1.0, "100.0%", "100.0 %", "100.0"),
        (ERRORS, 0.05, "5.0%", "5.0 %", "5.0"),
        (MAE, 12.34567, "12.35", "12.35", "12.35"),
        (MAE, 0.000123, "0.000123", "0.000123", "0.000123"),
        (GAIN, 3.0, "3", "3", "3"),
    ],
)
def test_a_value_is_per_cent_or_a_plain_number(
    metric: Metric, value: float, text: str, figure: str, plain: str
) -> None:
    assert (metric.text(value), metric.figure(value), metric.plain(value)) == (text, figure, plain)


@pytest.mark.parametrize(
    ("metric", "before", "after", "lost", "difference"),
    [
        (TOP1, 0.9, 0.875, 0.025, "2.5 points"),
        (TOP1, 0.875, 0.9, -0.025, "-2.5 points"),
        (ERRORS, 0.1, 0.125, 0.025, "2.5 points"),
        (ERRORS, 0.125, 0.1, -0.025, "-2.5 points"),
        (MAE, 12.0, 12.5, 0.5, "0.5"),
        (GAIN, 12.0, 12.5, -0.5, "-0.5"),
    ],
)
def test_a_loss_is_what_is_worse_whichever_way_that_is(
    metric: Metric, before: float, after: float, lost: float, difference: str
) -> None:
    assert metric.lost(before, after) == pytest.approx(lost)
    assert metric.difference(metric.lost(before, after)) == difference
    assert str(metric.lost(before, before)) == "0.0"  # and no -0.0, which JSON would show


# ------------------------------------------------------------------ warnings


class Lengths:
    """Of a task's work what phases ask for: outputs and targets are lengths."""

    def primary(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.abs(outputs - targets).mean())

    def quality(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return -np.abs(outputs - targets)

    def same(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.abs(outputs - others) < 0.05


def test_phases_of_an_error_are_compared_by_which_answer_is_nearer() -> None:
    targets = np.arange(8.0)
    plain, pruned = targets + 0.5, targets + 0.25
    int8 = np.where(targets < 6, pruned + 0.5, pruned)
    outputs = {"float": plain, "pruned": pruned, "int8": int8}
    rows = phases.table(Lengths(), MAE, outputs, targets)  # type: ignore[arg-type]
    assert [row.value(MAE) for row in rows] == [0.5, 0.25, 0.625]
    assert [row.agreement for row in rows] == [None, 0.0, 0.0]
    assert [(row.gained, row.lost) for row in rows] == [(None, None), (8, 0), (0, 6)]
    assert (rows[2].gained_float, rows[2].lost_float) == (2, 6)
    (text,) = advice.lost_on_the_way(rows, "val", "qat", MAE)
    assert "int8 is worse than pruned, and not by chance: mean absolute error 0.625" in text


def told(metric: Metric, *steps: tuple[str, float, int, int], recipe: str = "ptq") -> list[str]:
    """What is said of phases, each (name, value, examples on which it is better, worse)."""
    rows: list[Phase] = []
    for name, value, gained, lost in steps:
        before = rows[-1].phase if rows else None
        rows.append(phase(name, before, gained, lost, **metric.named(value)))
    return advice.lost_on_the_way(rows, "test", recipe, metric)


def test_a_larger_error_is_a_loss() -> None:
    (text,) = told(MAE, ("float", 2.0, 0, 0), ("int8", 2.5, 60, 120))
    assert text.startswith(
        "int8 is worse than float, and not by chance: mean absolute error 2.5 against 2 on the "
        "same 200 test examples (p = "
    )


def test_a_smaller_error_is_none() -> None:
    assert told(MAE, ("float", 2.0, 0, 0), ("int8", 1.5, 120, 60)) == []


def test_what_is_worse_on_more_examples_and_better_in_sum_is_not_called_worse() -> None:
    assert told(MAE, ("float", 2.0, 0, 0), ("int8", 1.9, 60, 120)) == []


def test_the_phase_that_added_most_error_is_blamed() -> None:
    steps = ("float", 2.0, 0, 0), ("pruned", 2.4, 95, 105), ("int8", 2.5, 98, 102)
    (text,) = told(MAE, *steps)
    assert text.startswith("int8 is 0.5 worse than float: mean absolute error 2.5 against 2 on")
    assert "so it may be chance" in text
    assert "most of it was lost in pruned: raise prune.steps" in text
    assert advice.worst_phase([phase(n, a, mae=v) for n, v, a in CHAIN], MAE) == "int8"


CHAIN = (("float", 2.0, None), ("pruned", 1.0, "float"), ("int8", 1.5, "pruned"))


def test_the_first_loss_that_is_told_is_a_point_or_a_hundredth_of_a_plain_figure() -> None:
    def below(metric: Metric, plain: float, int8: float) -> bool:
        return advice.below_float({"float": plain, "int8": int8}, metric)

    assert not below(ERRORS, 0.1, 0.11) and below(ERRORS, 0.1, 0.111)
    assert not below(MAE, 20.0, 20.2) and below(MAE, 20.0, 20.3)
    assert not below(MAE, 0.001, 0.00101) and below(MAE, 0.001, 0.00102)
    assert not below(MAE, 20.0, 10.0) and not below(ERRORS, 0.2, 0.1)
    assert below(GAIN, -20.0, -20.3) and not below(GAIN, -20.0, -20.1)


def corrupted(metric: Metric, plain: float, int8: float) -> Robustness:
    change = Gap(gap=metric.lost(int8, plain), gained=2, lost=30, p=mcnemar(2, 30))
    models = {"float": {"noise": plain}, "int8": {"noise": int8}}
    own: dict[str, Any] = {metric.key: models["int8"]}
    return Robustness(n=100, models=models, against_float={"noise": change}, **own)


def test_a_corruption_that_adds_error_is_named() -> None:
    (text,) = advice.lost_robustness(corrupted(MAE, 2.0, 2.75), "int8", MAE)
    assert text.startswith("on examples with noise int8 is 0.75 worse than float")
    assert "mean absolute error 2.75 against 2 on the same 100 examples" in text
    assert advice.lost_robustness(corrupted(MAE, 2.0, 1.75), "int8", MAE) == []


@pytest.mark.parametrize(
    ("metric", "plain", "int8", "head", "row"),
    [
        (TOP1, 0.9, 0.8, "int8 − float, points", "| noise | 90.0 % | 80.0 % | **-10.0 (p"),
        (ERRORS, 0.1, 0.2, "float − int8, points", "| noise | 10.0 % | 20.0 % | **-10.0 (p"),
        (MAE, 2.0, 2.75, "float − int8", "| noise | 2 | 2.75 | -0.75 (p"),
        (MAE, 2.75, 2.0, "float − int8", "| noise | 2.75 | 2 | +0.75 (p"),
        (GAIN, 2.0, 2.75, "int8 − float", "| noise | 2 | 2.75 | +0.75 (p"),
    ],
)
def test_the_report_has_a_difference_with_the_sign_that_its_head_says(
    metric: Metric, plain: float, int8: float, head: str, row: str
) -> None:
    values = {"float": plain, "int8": int8}
    found = evaluation(metric, values, robustness=corrupted(metric, plain, int8))
    text = "\n".join(render(robustness(found, replace(TASK, primary=metric))))
    assert f"| examples with | float | int8 | {head} |" in text
    assert row in text
    assert ("Bold: more than 3.0 points worse" in text) == metric.share


# ------------------------------------------------------------------ proposals


def proposed(metric: Metric, train: float, val: float) -> list[str]:
    return advice.proposals(history(metric, train, val), Finetune(), False, metric)


def test_proposals_go_by_errors_as_well() -> None:
    assert proposed(ERRORS, 0.02, 0.1) == [] == proposed(ERRORS, 0.1, 0.2)
    (heart,) = proposed(ERRORS, 0.01, 0.15)
    assert "error rate 1.0% of 700 training examples, 15.0% of 200" in heart
    assert "a gap of 14.0 points" in heart
    (little,) = proposed(ERRORS, 0.15, 0.2)
    assert "does not even learn its training examples: error rate 15.0%" in little


def test_of_a_plain_figure_nobody_knows_what_is_much() -> None:
    assert proposed(MAE, 0.01, 5000.0) == []


# ------------------------------------------------------------------ gates


def gated(
    monkeypatch: pytest.MonkeyPatch, metric: Metric, plain: float, int8: float, **gate: float
):
    monkeypatch.setattr(gates, "task_of", lambda name: replace(TASK, primary=metric))
    sections = {"quantize": {}, "evaluate": {"gates": gate}}
    pipeline = pipeline_of({"name": "a", "data": {"path": "x"}, **sections})
    found = evaluation(metric, {"float": plain, "int8": int8})
    gates.check(pipeline, "evaluate", lambda: StageResults(metrics=found))


def test_a_gate_on_an_error_is_its_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for metric in (ERRORS, MAE):
        gated(monkeypatch, metric, 0.1, 0.2, min_accuracy=0.2)
        with pytest.raises(GateFailed, match=r"min_accuracy: limit 0\.2, got 0\.25"):
            gated(monkeypatch, metric, 0.1, 0.25, min_accuracy=0.2)
    with pytest.raises(GateFailed, match=r"min_accuracy: limit 0\.9, got 0\.85"):
        gated(monkeypatch, TOP1, 0.95, 0.85, min_accuracy=0.9)
    gated(monkeypatch, TOP1, 0.95, 0.9, min_accuracy=0.9)


def test_a_gate_on_what_is_lost_looks_the_way_that_is_worse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for metric in (ERRORS, MAE):
        gated(monkeypatch, metric, 0.28, 0.3, max_accuracy_drop=0.02)
        gated(monkeypatch, metric, 0.5, 0.1, max_accuracy_drop=0.02)
        with pytest.raises(GateFailed, match=r"max_accuracy_drop: limit 0\.02, got 0\.05"):
            gated(monkeypatch, metric, 0.1, 0.15, max_accuracy_drop=0.02)
    gated(monkeypatch, TOP1, 0.3, 0.28, max_accuracy_drop=0.02)
    with pytest.raises(GateFailed, match="max_accuracy_drop"):
        gated(monkeypatch, TOP1, 0.9, 0.5, max_accuracy_drop=0.02)


# ------------------------------------------------------------------ debug


@pytest.mark.parametrize(("int8", "looks"), [(1.5, False), (2.02, False), (2.5, True)])
def test_layers_are_looked_at_when_the_error_grew(
    int8: float, looks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug, "primary_of", lambda ctx: MAE)
    monkeypatch.setattr(debug, "_measured", lambda ctx, quick: comparison())
    run = make_run(tmp_path)
    run.add("evaluate/metrics.json", dump(evaluation(MAE, {"float": 2.0, "int8": int8})))
    debug.run(run.context("debug"))
    found = run.json("debug/debug.json")
    assert ("layers" in found) == looks
    if not looks:
        said = f"not worse than float by more than 0.02 (float 2, int8 {int8:g})"
        assert found["why"] == f"mean absolute error of int8 is {said}"


# ------------------------------------------------------------------ teachers


@pytest.mark.parametrize(
    ("metric", "teacher", "plain", "told"),
    [
        (TOP1, 0.8, 0.9, "80.0 % against 90.0 %"),
        (TOP1, 0.9, 0.8, ""),
        (TOP1, 0.9, 0.9, ""),
        (MAE, 2.5, 2.0, "2.5 against 2"),
        (MAE, 2.0, 2.5, ""),
    ],
)
def test_a_teacher_is_worse_by_the_metric_of_the_task(
    metric: Metric, teacher: float, plain: float, told: str
) -> None:
    said = ValidationResult(val_accuracy=plain, val_loss=1.0)
    found = Distillation(
        name="MobileNet", val_accuracy=teacher, val_loss=1.0, plain=said, chose_weights_on=None
    )
    lines = facts._worse(found, metric)
    assert len(lines) == bool(told) and all(told in line for line in lines)


def test_a_label_begins_a_sentence_with_its_own_letters() -> None:
    labels = (TOP1.title, MAE.title, Metric("miou", "mIoU").title)
    assert labels == ("Top-1", "Mean absolute error", "MIoU")
