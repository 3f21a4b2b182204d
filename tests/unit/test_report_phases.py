"""Phases, corruptions and proposals as a person reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from color_helpers import make_run

from tests.output_helpers import evaluation
from tfedge.files.text import WIDTH
from tfedge.report.facts import gather
from tfedge.report.markup import render
from tfedge.report.phases import line
from tfedge.report.robustness import robustness
from tfedge.report.table import summary
from tfedge.report.written import write
from tfedge.stages import evaluate
from tfedge.tasks.table import task_of

RESULT = {"pipeline": "p", "status": "ok", "seconds": 1.0}


def row(phase: str, top1: float, against: str | None = None, p: float | None = None) -> dict:
    counts = (None, None) if against is None else (4, 9)
    found = {"phase": phase, "top1": top1, "agreement": None if phase == "float" else 0.9}
    return found | {"n": 200, "against": against, "gained": counts[0], "lost": counts[1], "p": p}


def run_with(tmp: Path, *rows: dict[str, Any], **more: Any) -> Path:
    """A run that was evaluated, its phases set by hand."""
    run = make_run(tmp)
    evaluate.run(run.context("evaluate"))
    metrics = run.json("evaluate/metrics.json") | {"phases": rows, **more}
    (run.folder / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    return run.folder


FOUR = (
    row("head", 0.811),
    row("float", 0.838, "head", 0.034),
    row("pruned", 0.83, "float", 0.5),
    row("int8", 0.79, "pruned", 0.00001) | {"gained_float": 1, "lost_float": 11, "p_float": 0.0063},
)


def test_the_terminal_has_one_line_for_all_phases(tmp_path: Path) -> None:
    lines = summary(RESULT, run_with(tmp_path, *FOUR)).splitlines()
    assert (
        "phases   head 81.1 % → float 83.8 % (p 0.034) → pruned 83.0 % (p 0.5) → "
        "int8 79.0 % (p < 0.0001)"
    ) in lines
    assert max(len(text) for text in lines if not text.startswith("report")) <= WIDTH


def test_a_line_that_is_too_long_breaks_between_phases(tmp_path: Path) -> None:
    facts = gather(run_with(tmp_path, *FOUR), RESULT)
    assert line(facts, 60) == [
        "phases   head 81.1 % → float 83.8 % (p 0.034) →",
        "         pruned 83.0 % (p 0.5) → int8 79.0 % (p < 0.0001)",
    ]


def test_one_phase_is_no_comparison(tmp_path: Path) -> None:
    folder = run_with(tmp_path, row("float", 0.9))
    assert "phases" not in summary(RESULT, folder)
    assert "against" not in write(folder, RESULT).read_text("utf-8")


def test_the_report_has_a_row_a_phase_and_int8_against_float(tmp_path: Path) -> None:
    text = write(run_with(tmp_path, *FOUR), RESULT).read_text("utf-8")
    result = text.partition("## Result\n")[2].partition("\n## ")[0]
    assert "| head | 81.1 % | 90.0 % | 200 | – | – | – | – |" in result
    assert "| pruned | 83.0 % | 90.0 % | 200 | float | 4 | 9 | 0.5 |" in result
    assert (
        "| int8 | 79.0 % | 90.0 % | 200 | pruned | 4 | 9 | < 0.0001 |".replace("<", "&lt;")
        in result
    )
    assert "| int8 |  |  | 200 | float | 1 | 11 | 0.0063 |" in result
    assert "exact McNemar test" in result


def test_proposals_stand_beside_the_warnings(tmp_path: Path) -> None:
    folder = run_with(tmp_path, *FOUR, proposals=["finetune.unfreeze: 0.25"])
    assert "proposal: finetune.unfreeze: 0.25" in summary(RESULT, folder).splitlines()
    assert "- proposal: finetune.unfreeze: 0.25" in write(folder, RESULT).read_text("utf-8")


def test_a_gap_of_more_than_three_points_is_marked() -> None:
    def loss(gap: float, p: float) -> dict[str, Any]:
        return {"gap": gap, "gained": 0, "lost": 0, "p": p}

    models = {
        "float": {"none": 0.9, "noise": 0.8, "blur": 0.7},
        "pruned": {"none": 0.89, "noise": 0.79, "blur": 0.69},
        "int8": {"none": 0.87, "noise": 0.765, "blur": 0.72},
    }
    losses = {"none": loss(0.87 - 0.9, 0.2), "noise": loss(-0.035, 0.04), "blur": loss(0.02, 0.5)}
    found = {"n": 200, "top1": models["int8"], "models": models, "against_float": losses}
    task = task_of("image-classification")
    text = "\n".join(
        render(robustness(evaluation(task.primary, {"float": 0.9}, robustness=found), task))
    )
    assert "| examples with | float | pruned | int8 | int8 − float, points |" in text
    assert "| as they are | 90.0 % | 89.0 % | 87.0 % | -3.0 (p 0.2) |" in text
    assert "| noise | 80.0 % | 79.0 % | 76.5 % | **-3.5 (p 0.04)** |" in text
    assert "| blur | 70.0 % | 69.0 % | 72.0 % | +2.0 (p 0.5) |" in text
    assert (
        "on 200 of the examples" in text and "Bold: more than 3.0 points worse than float" in text
    )


def test_images_that_chose_nothing_are_said_to_be_honest(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.add("finetune/history.json", run.json("finetune/history.json") | {"chose_weights_on": None})
    evaluate.run(run.context("evaluate"))
    text = write(run.folder, RESULT).read_text("utf-8")
    assert "The validation examples chose nothing: the accuracy measured on them is honest." in text
    assert "chose the weights" not in text and "same examples.**" not in text
