"""The table of tasks: what a pipeline may name, what the table costs, what keys hang on."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tfedge.core import keys
from tfedge.core.stages import STAGES, Stage, of_task, stage
from tfedge.data.schema import Data
from tfedge.errors import ConfigError
from tfedge.inputs.images.schema import ImageData
from tfedge.pipeline.load import load
from tfedge.pipeline.schema import Evaluate, Pipeline, known_task, pipeline_of, schema_of
from tfedge.tasks.image_classification import schema as classification
from tfedge.tasks.image_classification.schema import ClassifierEvaluate
from tfedge.tasks.table import DEFAULT, TASKS, names, task_of

ROOT = Path(__file__).parents[2]
PIPELINES = sorted((ROOT / "pipelines").glob("*.yaml"))
HEAVY = ("numpy", "tensorflow", "tf_keras", "keras", "PIL", "sklearn", "h5py", "ai_edge_litert")
SMALL = "name: a\ndata: {path: sample:digits}\n"


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    path = folder / "p.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def imported(code: str, *arguments: str) -> set[str]:
    """The heavy modules that a process holds once it has run some lines."""
    told = "\nimport sys; print('HEAVY', *{name.split('.')[0] for name in sys.modules})"
    words = [sys.executable, "-c", code + told, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("HEAVY")[2].split()) & set(HEAVY)


# ------------------------------------------------------------------ in a pipeline


def test_an_unknown_task_is_one_problem_that_says_where_and_what_was_meant(tmp_path: Path) -> None:
    allowed = f"(allowed: {', '.join(names())})"
    (said,) = problems(
        tmp_path, "name: a\ntask: image-clasification\ndata: {path: sample:digits}\n"
    )
    meant = "did you mean image-classification?"
    assert said == f"p.yaml:2:7: task: no task 'image-clasification', {meant} {allowed}"
    (said,) = problems(tmp_path, SMALL, "task=knitting")
    assert said == f"--set task=knitting: task: no task 'knitting' {allowed}"


def test_keys_are_held_against_the_task_that_was_probably_meant(tmp_path: Path) -> None:
    text = "name: a\ntask: image_classification\ndata: {path: sample:digits, image_size: 97}\n"
    (said,) = problems(tmp_path, f"{text}evaluate: {{top_k: 2}}\n")
    assert said.startswith("p.yaml:2:7: task: no task 'image_classification', did you mean")


def test_the_task_that_was_meant_is_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "counting", "tfedge.tasks.counting.schema:TASK")
    assert known_task("counting") == known_task("Countin") == "counting"
    assert known_task("image-clasification") == known_task(["counting"]) == DEFAULT


def test_other_problems_are_told_beside_an_unknown_task(tmp_path: Path) -> None:
    first, second = problems(tmp_path, f"{SMALL}task: knitting\nprune: {{sparsity: 2}}\n")
    assert first.startswith("p.yaml:3:7: task: no task 'knitting'")
    assert second.startswith("p.yaml:4:19: prune.sparsity: must be")


@pytest.mark.parametrize("value", ["3", "[image-classification]", "{a: b}", "true"])
def test_a_task_is_text(tmp_path: Path, value: str) -> None:
    (said,) = problems(tmp_path, f"{SMALL}task: {value}\n")
    assert said.startswith("p.yaml:3:7: task: must be text, got")


def test_without_a_task_it_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    for text in (SMALL, f"{SMALL}task: {DEFAULT}\n"):
        path.write_text(text, "utf-8")
        loaded = load(path)
        assert loaded.pipeline.task == DEFAULT == names()[0]
        assert loaded.resolved()["task"] == DEFAULT
    assert known_task(None) == known_task("knitting") == DEFAULT


@pytest.mark.parametrize("name", names())
def test_a_pipeline_has_the_sections_of_its_task(name: str) -> None:
    task, schema = task_of(name), schema_of(name)
    assert issubclass(schema, Pipeline) and list(schema.model_fields) == list(Pipeline.model_fields)
    assert issubclass(task.data, Data) and issubclass(task.evaluate, Evaluate)
    assert schema is schema_of(name), "made once: pipelines of a task are of one type"
    made = pipeline_of(name="a", task=name, data={"path": "x"}, evaluate={})
    assert type(made.data) is task.data and type(made.evaluate) is task.evaluate


def test_sections_of_image_classification() -> None:
    made = pipeline_of(name="a", data={"path": "x", "augment": {}}, evaluate={"top_k": 2})
    assert isinstance(made.data, ImageData) and made.data.changes_examples
    assert isinstance(made.evaluate, ClassifierEvaluate) and made.evaluate.top_k == 2
    assert not pipeline_of(name="a", data={"path": "x"}).data.changes_examples
    with pytest.raises(KeyError):
        pipeline_of(name="a", task="knitting", data={"path": "x"})


# ------------------------------------------------------------------ what it costs


@pytest.mark.parametrize("name", names())
def test_a_row_is_light(name: str) -> None:
    module, _, attribute = TASKS[name].partition(":")
    assert imported(f"from {module} import {attribute}") == set()
    code = f"from tfedge.tasks.table import task_of; task_of({name!r}).keys()"
    assert imported(code) == set()
    assert task_of(name).name == name


@pytest.mark.parametrize("name", names())
def test_what_a_row_names_is_there_to_be_imported(name: str) -> None:
    """Looked up as text: the halves themselves are heavy."""
    task = task_of(name)
    for reference in (task.work, task.head):
        module, _, attribute = reference.partition(":")
        file = ROOT / f"{module.replace('.', '/')}.py"
        assert re.search(rf"^class {attribute}\b", file.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("words", [["run", "--dry-run"], ["check"]], ids=" ".join)
def test_the_commands_that_look_at_a_pipeline_are_light(words: list[str], tmp_path: Path) -> None:
    """Whatever its task is: nothing that takes its time to import."""
    code = """
import sys
from tfedge.cli import main
words = sys.argv[1:]
for name in words.pop().split(","):
    sys.argv = ["tfedge", *words, name]
    assert main() == (4 if name.endswith(("photos.yaml", "texts.yaml", "boxes.yaml")) else 0), name
"""
    cache = ["--cache", str(tmp_path)] if "run" in words else []
    files = ",".join(map(str, PIPELINES))
    assert imported(code, *words, *cache, files) == set()


# ------------------------------------------------------------------ the stages' table


@pytest.mark.parametrize("name", names())
def test_a_row_of_the_stages_is_spelled_out(name: str) -> None:
    task = task_of(name)
    for row in STAGES:
        full = of_task(row, task)
        assert not [key for key in (*full.config, *full.libs) if key.startswith("task.")], row.name
        assert len(set(full.config)) == len(full.config) and len(set(full.libs)) == len(full.libs)
        assert of_task(full, task) == full
        kept = [key for key in row.config if not key.startswith("task.")]
        assert [key for key in full.config if key in kept] == kept, row.name
        assert replace(full, config=row.config, libs=row.libs) == row, "nothing else is changed"


def test_spelled_out_by_hand() -> None:
    task = replace(
        task_of(DEFAULT),
        inputs=("data.rate", "data.bands"),
        shape=("data.bands",),
        views=(),
        judged_by=("evaluate.within",),
        libs=("soundfile", "numpy"),
    )
    row = Stage(
        "a",
        "b:c",
        config=("seed", "task.inputs", "task.shape", "task.views", "task.judged_by", "data"),
        libs=("numpy", "task.libs", "scipy"),
    )
    full = of_task(row, task)
    assert full.config == ("seed", "data.rate", "data.bands", "evaluate.within", "data")
    assert full.libs == ("numpy", "soundfile", "scipy")


# ------------------------------------------------------------------ keys


def key(row: Stage, **sections: object) -> str:
    sections = {"prune": {}, "quantize": {}, "evaluate": {}, "package": {}, **sections}
    settings = keys.settings(pipeline_of(name="a", data={"path": "x"}, **sections))
    return keys.key_of(keys.material(row, settings, {}, ""))


def test_a_key_is_another_once_the_task_s_version_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {row.name: key(row) for row in STAGES}
    assert before == {row.name: key(row) for row in STAGES}
    later = replace(classification.TASK, version=classification.TASK.version + 1)
    monkeypatch.setattr(classification, "TASK", later)
    after = {row.name: key(row) for row in STAGES}
    assert [name for name in before if before[name] == after[name]] == []


def test_a_key_is_another_for_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that is the same in all but its name."""
    before = key(stage("convert"))
    monkeypatch.setattr(classification, "TASK", replace(classification.TASK, name="other"))
    assert key(stage("convert")) != before


def test_a_key_hangs_on_what_the_task_says_that_matters() -> None:
    size = {"data": {"path": "x", "image_size": 97}}
    top_k = {"evaluate": {"top_k": 1}}

    def changed(**sections: object) -> set[str]:
        given = {"data": {"path": "x"}, "prune": {}, "quantize": {}, "evaluate": {}, **sections}
        settings = [
            keys.settings(pipeline_of(name="a", **one))
            for one in ({**given, "data": {"path": "x"}, "evaluate": {}}, given)
        ]
        return {
            row.name
            for row in STAGES
            if len({keys.key_of(keys.material(row, one, {}, "")) for one in settings}) > 1
        }

    assert changed(**top_k) == {"evaluate"}
    trained = {"data", "finetune", "distill", "prune", "cluster", "quantize", "package"}
    assert changed(**size) == {*trained, "backbone", "convert", "evaluate", "debug"}
    assert changed(data={"path": "x", "fit": "pad"}) == {*trained, "convert", "evaluate", "debug"}
    assert changed(data={"path": "x", "augment": {}}) == {*trained, "evaluate"}
