"""Phases side by side: exact p-values, what is warned of, and what is proposed, with its keys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from color_helpers import FLOAT, make_run
from scipy.stats import binomtest

from tests.output_helpers import history
from tfedge.core.outputs import Gap, Phase, Robustness, write
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.pipeline.schema import Finetune
from tfedge.stages import advice, evaluate, phases
from tfedge.tasks.paired import mcnemar
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Examples
from tfedge.tasks.work import work_of

LABELS = np.zeros(200, int)
TASK = task_of("image-classification")
TOP1 = TASK.primary


def table(outputs: Mapping[str, np.ndarray]) -> list[Phase]:
    return phases.table(work_of(TASK), TOP1, outputs, LABELS)


def scores(*wrong: range) -> np.ndarray:
    """Of two classes for 200 images of the first one, those in ``wrong`` taken for the other."""
    found = np.tile([0.9, 0.1], (200, 1))
    for numbers in wrong:
        found[list(numbers)] = [0.2, 0.8]
    return found


def test_what_is_chosen_is_chosen_by_validation_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds that the test examples chose would be too good."""
    splits = {"val": [3, 4], "test": [5]}
    examples = SimpleNamespace(
        rows_of=splits.__getitem__, inputs=np.asarray, targets=lambda rows: ("true", *rows)
    )
    work = SimpleNamespace(
        chooses=True, chosen=lambda outputs, truth, _: {"of": outputs, "by": truth}
    )
    monkeypatch.setattr(evaluate, "task_work", lambda ctx: work)
    asked = lambda pools, items, progress: {name: [*map(int, items)] for name in pools}  # noqa: E731
    monkeypatch.setattr(evaluate, "side_by_side", asked)
    ctx: Any = SimpleNamespace(progress=SimpleNamespace(update=print))
    pools: Any = {"float": None, "int8": None}
    found = evaluate._chosen(ctx, pools, cast(Examples, examples))
    assert found == {name: {"of": [3, 4], "by": ("true", 3, 4)} for name in pools}


# ------------------------------------------------------------------ the table


def test_each_phase_stands_against_the_one_before() -> None:
    found = table(
        {
            "head": scores(range(40)),
            "float": scores(range(20, 50)),
            "pruned": scores(range(20, 60)),
            "int8": scores(range(22, 63)),
        }
    )
    head, plain, pruned, int8 = found
    assert [row.phase for row in found] == ["head", "float", "pruned", "int8"]
    assert [row.value(TOP1) for row in found] == [0.8, 0.85, 0.8, 0.795]
    assert [row.agreement for row in found] == [0.85, None, 0.95, 0.925]
    assert (head.against, head.gained, head.p) == (None, None, None)
    assert (plain.against, plain.gained, plain.lost) == ("head", 20, 10)
    assert plain.p == pytest.approx(binomtest(10, 30).pvalue)
    assert (pruned.against, pruned.gained, pruned.lost) == ("float", 0, 10)
    assert pruned.p == 2 / 2**10
    assert (int8.against, int8.gained, int8.lost, int8.p) == ("pruned", 2, 3, 1.0)
    assert (int8.gained_float, int8.lost_float) == (2, 13)
    assert int8.p_float == pytest.approx(binomtest(2, 15).pvalue)
    assert pruned.change_from_float is None
    assert {row.n for row in found} == {200}


def test_without_phases_between_there_is_one_comparison() -> None:
    _, int8 = table({"float": scores(range(5)), "int8": scores(range(9))})
    assert (int8.against, int8.lost, int8.p) == ("float", 4, 0.125)
    assert int8.change_from_float is None


# ------------------------------------------------------------------ warnings


def told(recipe: str = "qat", **found: np.ndarray) -> list[str]:
    return advice.lost_on_the_way(table(found), "test", recipe, TOP1)


def test_a_phase_that_loses_beyond_chance_is_named_with_its_figures_and_keys() -> None:
    (text,) = told(float=scores(range(20)), pruned=scores(range(40)), int8=scores(range(40)))
    assert "pruned is worse than float, and not by chance" in text
    assert "top-1 80.0% against 90.0% on the same 200 test examples (p = 1.9e-06)" in text
    for key in ("prune.steps", "prune.epochs", "prune.sparsity", "prune.teacher", "prune.hints"):
        assert key in text


def test_what_may_be_chance_and_what_gains_is_not_warned_of() -> None:
    assert told(float=scores(range(20)), pruned=scores(range(25)), int8=scores(range(20))) == []
    assert told(float=scores(range(40)), pruned=scores(range(20)), int8=scores(range(20))) == []
    assert told(float=scores(range(20)), int8=scores(range(22))) == []  # a point is allowed


@pytest.mark.parametrize(
    ("recipe", "keys"),
    [("qat", ("quantize.steps", "quantize.debug", "quantize.keep")), ("ptq", ("recipe: qat",))],
)
def test_int8_is_told_what_to_change_by_its_recipe(recipe: str, keys: tuple[str, ...]) -> None:
    (text,) = told(recipe, float=scores(range(20)), int8=scores(range(40)))
    assert "int8 is worse than float, and not by chance" in text
    assert all(key in text for key in keys)


def test_more_than_a_point_below_float_is_said_even_where_it_may_be_chance() -> None:
    (text,) = told("ptq", float=scores(range(20)), int8=scores(range(23)))
    assert "int8 is 1.5 points worse than float: top-1 88.5% against 90.0%" in text
    assert "(p = 0.25, so it may be chance): quantize.recipe: qat" in text
    # Where the loss came earlier, the advice is about that phase.
    pruned = scores(range(24))
    (text,) = told("qat", float=scores(range(20)), pruned=pruned, int8=pruned)
    assert "int8 is 2.0 points worse than float" in text
    assert "most of it was lost in pruned: raise prune.steps" in text and "quantize." not in text


def test_a_float_model_that_ships_is_not_told_of_int8() -> None:
    (text,) = told("float", float=scores(range(20)), clustered=scores(range(40)))
    assert "clustered is worse than float" in text and "cluster.clusters" in text
    (text,) = told("float", head=scores(range(20)), float=scores(range(40)))
    assert "float is worse than head" in text and "finetune.unfreeze" in text


def test_a_corruption_that_only_hurts_the_shipped_file_is_named() -> None:
    def row(gap: float, gained: int, lost: int) -> Gap:
        return Gap(gap=gap, gained=gained, lost=lost, p=mcnemar(gained, lost))

    figures = {"none": 0.8, "noise": 0.7, "blur": 0.6, "jpeg": 0.7}
    found = Robustness(
        n=100,
        models={"float": dict.fromkeys(figures, 0.8), "int8": figures},
        against_float={
            "none": row(-0.10, 0, 10),
            "noise": row(-0.10, 1, 11),
            "blur": row(-0.20, 40, 60),
            "jpeg": row(0.10, 10, 0),
        },
    )
    (text,) = advice.lost_robustness(found, "int8", TOP1)
    assert text.startswith("on examples with noise int8 is 10.0 points worse than float")
    assert "top-1 70.0% against 80.0% on the same 100 examples (p = 0.0063)" in text
    assert "data.augment.noise" in text


# ------------------------------------------------------------------ proposals


known = partial(history, TOP1)


def test_learning_by_heart_is_answered_by_augmentation_and_unfreezing() -> None:
    (text,) = advice.proposals(known(0.99, 0.85), Finetune(), False, TOP1)
    assert "top-1 99.0% of 700 training examples, 85.0% of 200 validation examples" in text
    assert "a gap of 14.0 points" in text
    assert "set data.augment, and finetune.unfreeze: 0.25" in text
    (text,) = advice.proposals(known(0.99, 0.85), Finetune(unfreeze=0.5), True, TOP1)
    assert "make data.augment stronger" in text and "unfreeze" not in text


def test_learning_too_little_is_answered_by_unfreezing() -> None:
    (text,) = advice.proposals(known(0.85, 0.8), Finetune(), False, TOP1)
    assert "does not even learn its training examples" in text
    assert "top-1 85.0% of 700 training examples: finetune.unfreeze: 0.25" in text
    both = advice.proposals(known(0.85, 0.7), Finetune(), False, TOP1)
    assert len(both) == 2


def test_a_net_that_can_not_train_is_not_to_be_unfrozen() -> None:
    for learnt in (known(0.99, 0.85), known(0.85, 0.8)):
        (text,) = advice.proposals(learnt, Finetune(), False, TOP1, can_train=False)
        assert "unfreeze" not in text


def test_a_good_fit_proposes_nothing() -> None:
    assert advice.proposals(known(0.98, 0.9), Finetune(), False, TOP1) == []
    assert (
        advice.proposals(known(0.98, 0.88), Finetune(), False, TOP1) == []
    )  # ten points, to the digit


# ------------------------------------------------------------------ the stage


def shifted(monkeypatch, **wrong: int) -> None:
    """Let phases get their first so many images wrong."""
    real = evaluate.side_by_side

    def worse(pools, images, **options):
        found = real(pools, images, **options)
        for name, count in {k: v for k, v in wrong.items() if k in found}.items():
            found[name][:count] = np.roll(found[name][:count], 1, axis=1)
        return found

    monkeypatch.setattr(evaluate, "side_by_side", worse)


def test_every_phase_that_left_a_file_is_measured(tmp_path: Path, monkeypatch) -> None:
    run = make_run(tmp_path, each=8, split="test", evaluate={"robustness": 12})
    for role in ("finetune/head.tflite", "prune/float.tflite", "cluster/float.tflite"):
        run.add(role, FLOAT.read_bytes())
    shifted(monkeypatch, head=3, pruned=8, int8=8, clustered=8)
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    rows = {row["phase"]: row for row in found["phases"]}
    assert list(rows) == ["head", "float", "pruned", "clustered", "int8"]
    assert rows["float"]["top1"] == found["float"]["top1"] == 1.0
    assert rows["int8"]["top1"] == found["int8"]["top1"] == pytest.approx(16 / 24)
    assert (rows["pruned"]["lost"], rows["pruned"]["p"]) == (8, 2 / 2**8)
    assert (rows["int8"]["p"], rows["int8"]["p_float"]) == (1.0, 2 / 2**8)
    assert (rows["head"]["agreement"], rows["float"]["agreement"]) == (21 / 24, None)
    (warning,) = [text for text in found["warnings"] if "not by chance" in text]
    assert warning.startswith("pruned is worse than float") and "on the same 24 test" in warning
    assert f"warning: {warning}" in run.said.notes
    robust = found["robustness"]
    assert list(robust["models"]) == ["float", "pruned", "clustered", "int8"]
    assert robust["top1"] == robust["models"]["int8"]
    assert list(robust["models"]["float"]) == ["none", *CORRUPTIONS]
    assert robust["against_float"]["none"]["gap"] == pytest.approx(-4 / 12)


def test_a_pruned_float_model_that_ships_is_the_last_phase(tmp_path: Path) -> None:
    run = make_run(tmp_path, shipped=FLOAT, recipe="float", split="test")
    run.add("prune/float.tflite", b"is not looked at: the shipped file is the pruned one")
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert [row["phase"] for row in found["phases"]] == ["float", "pruned"]
    assert found["shipped"] == "float" and "int8" not in found and "agreement" not in found
    assert list(found["robustness"]["models"]) == ["float", "pruned"]


def test_each_harder_image_is_made_once_for_all_phases(tmp_path: Path, monkeypatch) -> None:
    made: list[int] = []

    def noted(pixels: np.ndarray, seed: int) -> np.ndarray:
        made.append(seed)
        return pixels

    monkeypatch.setitem(CORRUPTIONS, "noise", noted)
    run = make_run(tmp_path, each=4)
    run.add("prune/float.tflite", FLOAT.read_bytes())
    evaluate.run(run.context("evaluate"))
    assert len(made) == len(set(made)) == 12
    models = run.json("evaluate/metrics.json")["robustness"]["models"]
    assert [found["noise"] for found in models.values()] == [1.0, 1.0, 1.0]


def test_proposals_and_an_honest_split_reach_the_metrics(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write(run.inputs["finetune/history.json"], known(0.99, 0.8))
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert (found["split"], found["chose_weights"], found["warnings"]) == ("val", False, [])
    (text,) = found["proposals"]
    assert "data.augment" in text and f"proposal: {text}" in run.said.notes
