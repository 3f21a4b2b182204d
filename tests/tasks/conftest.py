"""Every registered task, and a toy that is registered here alone, run once on its own sample."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tfedge.catalog.libraries import DETECTION
from tfedge.cli import main
from tfedge.core.installation import installed
from tfedge.tasks import table
from tfedge.tasks.table import TASKS, task_of
from tfedge.tasks.task import Task, Work
from tfedge.tasks.work import work_of

TOY = "image-regression"
NAMES = (*TASKS, TOY)

# A net of no more than what a stage needs to have something to do.
ALL = {"evaluate": {"robustness": 20}}
IMAGES = {
    **ALL,
    "data": {"image_size": 32, "split": {"val": 0.4, "test": 0.5}},
    "backbone": {"name": "MobileNet", "alpha": 0.25, "weights": "none"},
    "prune": {"steps": 4, "epochs": 1, "sparsity": 0.3},
    "quantize": {"recipe": "qat", "steps": 4, "epochs": 1, "representative": 16},
}
TEXTS = {
    **ALL,
    "data": {"length": 32, "split": {"val": 0.3, "test": 0.3}},
    "backbone": {"layers": 2, "vocabulary": "seen"},
    "prune": {"steps": 4, "epochs": 1, "sparsity": 0.3, "unfreeze": 1},
    "quantize": {"recipe": "qat", "steps": 4, "epochs": 1, "representative": 16},
}
SCENES = {
    **IMAGES,
    "data": {"image_size": 64},
    "finetune": {"epochs": 2},
}
TINY = {"text-classification": TEXTS, "object-detection": SCENES}
TARGETS = ("linux", "android")  # of drops, as far as the task has them


@dataclass(frozen=True)
class Done:
    """A finished run of a task's sample."""

    task: Task
    folder: Path

    @property
    def work(self) -> Work:
        return work_of(self.task)

    @property
    def file(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def content(self) -> dict[str, Any]:
        tiny = TINY.get(self.task.name, IMAGES)
        data = {"path": self.task.sample, **tiny["data"]}
        package = {"targets": list(self.targets)}
        return {"name": "tiny", "task": self.task.name, **tiny, "data": data, "package": package}

    @property
    def targets(self) -> tuple[str, ...]:
        """For which drops are made."""
        return tuple(name for name in TARGETS if name in self.task.drops)

    def tfedge(self, *arguments: object) -> int:
        return main([str(argument) for argument in (*arguments, "--cache", self.folder / "cache")])

    def json(self, name: str) -> Any:
        return json.loads((self.run_dir / name).read_text(encoding="utf-8"))


def _needing(name: str) -> Any:
    """A task's name, skipped where a library is missing that it alone needs."""
    if name not in TASKS:
        return name
    lacking = [lib for lib in task_of(name).libs if lib in DETECTION and installed(lib) is None]
    skip = pytest.mark.skipif(bool(lacking), reason=f"not installed: {', '.join(lacking)}")
    return pytest.param(name, marks=skip, id=name)


def register_toy(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(table.TASKS, TOY, "tests.tasks.toy.schema:TASK")


@pytest.fixture(autouse=True)
def _toy_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is a task while a test of this folder runs: tests of others in the same process
    never see it."""
    register_toy(monkeypatch)


@pytest.fixture(scope="session", params=[*map(_needing, NAMES)])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The whole chain, once for each task."""
    with pytest.MonkeyPatch.context() as patch:
        register_toy(patch)
        run = Done(task_of(request.param), tmp_path_factory.mktemp("task"))
        run.file.write_text(json.dumps(run.content), encoding="utf-8")  # JSON is YAML
        assert run.tfedge("run", run.file, "--run-dir", run.run_dir) == 0
        return run
