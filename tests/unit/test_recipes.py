"""What follows from a pipeline's recipes: which head, how many steps, whether 8 bits train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tfedge.core.plan import lines, plan, select
from tfedge.inputs.images.schema import Augment
from tfedge.pipeline.load import Loaded, load
from tfedge.pipeline.recipes import head_kind, implied, least_steps, quantized_by, steps
from tfedge.pipeline.schema import Finetune, Pipeline, Prune, Quantize, pipeline_of
from tfedge.pipeline.teacher import learners

SMALL = "name: small\ndata: {path: sample:digits}\n"


def make(**sections: Any) -> Pipeline:
    return pipeline_of({"name": "a", "data": {"path": "sample:digits"}, **sections})


def loaded(folder: Path, text: str = "", *overrides: str) -> Loaded:
    path = folder / "p.yaml"
    path.write_text(SMALL + text)
    return load(path, overrides)


def shown(found: Loaded, cache: Path) -> list[str]:
    return lines(found, plan(found, select(found.pipeline), cache), cache)


# ------------------------------------------------------------------ the head


@pytest.mark.parametrize(
    ("settings", "augment", "expected"),
    [
        ({}, None, "logistic"),
        ({}, Augment(), "sgd"),
        ({"label_smoothing": 0.1}, None, "sgd"),
        ({"class_weights": "balanced"}, None, "logistic"),  # a regression can weight its rows
        ({"unfreeze": "all"}, None, "logistic"),  # blocks train on from the fitted head
        ({"head": "logistic"}, Augment(), "logistic"),
        ({"head": "logistic", "label_smoothing": 0.1}, None, "logistic"),
        ({"head": "sgd"}, None, "sgd"),
    ],
)
def test_a_head_is_fitted_unless_something_asks_for_training(settings, augment, expected) -> None:
    assert head_kind(Finetune(**settings), augment) == expected


def test_the_plan_says_that_the_head_is_fitted(tmp_path: Path) -> None:
    head = "head: logistic regression on the base's features, fitted until it converges"
    assert head in shown(loaded(tmp_path), tmp_path)
    for override in ("finetune.head=sgd", "finetune.label_smoothing=0.1", "data.augment.views=1"):
        said = shown(loaded(tmp_path, "", override), tmp_path)
        assert not any(line.startswith("head:") for line in said), override


def test_keys_that_a_fitted_head_does_not_read_are_noted(tmp_path: Path) -> None:
    text = "finetune: {epochs: 20, dropout: 0.5, batch_size: 8, class_weights: balanced}\n"
    (note,) = loaded(tmp_path, text).notes
    assert note == (
        "finetune.epochs, finetune.dropout, finetune.batch_size: without effect on a head that is "
        "fitted (finetune.head: sgd trains it)"
    )
    assert f"note: {note}" in shown(loaded(tmp_path, text), tmp_path)
    # Blocks that train read all but what the head alone would.
    (note,) = loaded(tmp_path, text, "finetune.unfreeze=0.25").notes
    assert note.startswith("finetune.epochs, finetune.dropout: without effect")


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("finetune: {class_weights: balanced, unfreeze_epochs: 9}\n", "seed=1"),
        ("finetune: {epochs: 10, learning_rate: 1e-2}\n", "seed=1"),  # as the defaults have them
        ("finetune: {epochs: 20}\n", "finetune.head=sgd"),
        ("finetune: {epochs: 20}\n", "data.augment.views=1"),
        ("finetune: {epochs: 20, label_smoothing: 0.1}\n", "seed=1"),
    ],
)
def test_keys_that_are_read_are_not_noted(text: str, override: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, text, override).notes == ()


def test_idle_keys_of_the_teacher_of_another_backbone_are_noted_by_its_name(tmp_path: Path) -> None:
    teacher = "prune:\ndistill: {teacher: {name: EfficientNetLite0}, epochs: 3}\n"
    assert any(
        note.startswith("distill.epochs: without effect") and "distill.head: sgd" in note
        for note in loaded(tmp_path, teacher).notes
    )


# ------------------------------------------------------------------ steps


@pytest.mark.parametrize(
    ("settings", "images", "expected"),
    [
        ("auto", 1, 150),
        ("auto", 799, 150),
        ("auto", 800, 300),
        ("auto", 100_000, 300),
        (0, 100_000, 0),
        (77, 1, 77),
    ],
)
def test_least_steps(settings: Any, images: int, expected: int) -> None:
    assert least_steps(Quantize(steps=settings), images) == expected


@pytest.mark.parametrize(
    ("settings", "images", "epoch", "expected"),
    [
        ({}, 100, 7, 150),  # two epochs would be 14
        ({}, 800, 50, 300),
        ({}, 3200, 200, 400),  # epochs that are more than the floor
        ({"epochs": 30}, 100, 7, 210),
        ({"steps": 0}, 100, 7, 14),
        ({"steps": 20, "epochs": 3}, 100, 7, 21),
        ({"steps": 22, "epochs": 3}, 100, 7, 22),
    ],
)
def test_epochs_are_trained_where_they_are_more(settings, images, epoch, expected) -> None:
    assert steps(Prune(**settings), images, epoch) == expected


# ------------------------------------------------------------------ 8 bits


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, "float"),
        ({"prune": {}}, "float"),
        ({"quantize": {}}, "ptq"),
        ({"quantize": {}, "prune": {}}, "qat"),
        ({"quantize": {}, "cluster": {}}, "qat"),
        ({"quantize": {}, "distill": {"teacher": "float"}}, "qat"),
        ({"quantize": {"recipe": "ptq"}, "prune": {}, "cluster": {}}, "ptq"),
        ({"quantize": {"recipe": "qat"}}, "qat"),
        ({"quantize": {"recipe": "none"}, "prune": {}}, "float"),
    ],
)
def test_what_quantize_begins_with(sections: dict[str, Any], expected: str) -> None:
    assert quantized_by(make(**sections)).name == expected
    assert ("quantize" in learners(make(**sections))) == (expected == "qat")


def test_the_plan_says_what_auto_begins_with(tmp_path: Path) -> None:
    said = shown(loaded(tmp_path, "quantize:\n"), tmp_path)
    assert "quantize: auto, prefers accuracy: ptq; qat if that costs answers" in said
    assert "trains: finetune the head only" in said
    said = shown(loaded(tmp_path, "quantize:\nprune:\n"), tmp_path)
    assert "quantize: auto, prefers accuracy: qat" in said
    (trains,) = (line for line in said if line.startswith("trains: "))
    assert "; prune from " in trains and "; quantize from " in trains
    said = shown(loaded(tmp_path, "quantize: {recipe: ptq}\n"), tmp_path)
    assert not any(line.startswith("quantize: ") for line in said)


# ------------------------------------------------------------------ what is preferred


def test_prefer_size_prunes(tmp_path: Path) -> None:
    found = loaded(tmp_path, "quantize: {prefer: size}\n")
    assert found.pipeline.prune == Prune() and quantized_by(found.pipeline).name == "qat"
    said = shown(found, tmp_path)
    assert [line.split()[0] for line in said[2:6]] == ["data", "backbone", "finetune", "prune"]
    assert any(line.startswith("sparsity: 50% of ") for line in said)
    assert "quantize: auto, prefers size: qat" in said
    (trains,) = (line for line in said if line.startswith("trains: "))
    assert "; prune from " in trains and "; quantize from " in trains


def test_a_resolved_pipeline_of_it_means_the_same(tmp_path: Path) -> None:
    found = loaded(tmp_path, "quantize: {prefer: size}\n")
    again = tmp_path / "resolved.json"
    again.write_text(json.dumps(found.resolved()))
    assert load(again).pipeline == found.pipeline and found.resolved()["prune"]["sparsity"] == 0.5


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"quantize": {}},
        {"quantize": {"prefer": "latency"}},
        {"quantize": {"prefer": "size", "recipe": "ptq"}},
        {"quantize": {"prefer": "size", "recipe": "none"}},
        {"quantize": {"prefer": "size"}, "prune": {"sparsity": 0.2}},
        {"quantize": {"prefer": "size"}, "cluster": {}},
    ],
)
def test_nothing_else_adds_a_section(sections: dict[str, Any]) -> None:
    assert implied(sections) == {}
