"""Drops know no task: they ask it, and say so when it has no drop for a target."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from color_helpers import make_run

from tfedge.cli import main
from tfedge.drops import manifest
from tfedge.drops.targets import TARGETS, targets_of
from tfedge.drops.verify import verify
from tfedge.errors import DropError
from tfedge.stages import package
from tfedge.tasks.image_classification.schema import TASK
from tfedge.tasks.table import names, task_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("run"), evaluate=None, benchmark=None)
    package.run(run.context("package"))
    return run.folder / "package" / "drops" / "linux"


@pytest.mark.parametrize("name", names())
def test_a_task_has_drops_for_targets_that_there_are(name: str) -> None:
    assert set(task_of(name).drops) <= set(TARGETS)


def test_each_target_once_in_the_order_given() -> None:
    assert [row.name for row in targets_of(TASK, ["coral", "linux", "coral"])] == ["coral", "linux"]


def test_a_target_that_a_task_has_no_drop_for() -> None:
    task = replace(TASK, name="poetry", drops=("linux",))
    with pytest.raises(DropError) as caught:
        targets_of(task, ["linux", "coral"])
    said = "\n".join(caught.value.lines())
    assert "target coral: the task poetry has no drop for it" in said and "one of: linux" in said
    with pytest.raises(DropError):
        targets_of(replace(task, drops=()), ["linux"])


def with_task(made: Path, folder: Path, task: object) -> Path:
    drop = Path(shutil.copytree(made, folder / "drop"))
    facts = manifest.load(drop)
    del facts["task"]
    if task is not None:
        facts["task"] = task
    (drop / manifest.NAME).write_text(json.dumps(facts))
    return drop


def test_a_drop_of_an_older_release_names_no_task(made: Path, tmp_path: Path) -> None:
    checks = verify(with_task(made, tmp_path, None))
    assert [check.what for check in checks] == ["files", "model", "labels", "golden pairs"]
    assert not [problem for check in checks for problem in check.problems]


def test_a_drop_of_a_task_that_is_not_known_here(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(with_task(made, tmp_path, "poetry"))]) == 9
    said = capsys.readouterr().err
    assert "a drop of the task 'poetry', this tfedge knows image-classification" in said


def test_a_task_that_is_no_name(made: Path, tmp_path: Path) -> None:
    (problem,) = [p for check in verify(with_task(made, tmp_path, ["x"])) for p in check.problems]
    assert "does not say what a drop says" in problem
