"""What training computes on: the CPU unless somebody asks; part of what a result is known by."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from core_fakes import go, prepare

from tfedge.core import accelerator, keys
from tfedge.core.plan import lines, plan, select
from tfedge.core.stages import STAGES, stage
from tfedge.errors import StageError
from tfedge.pipeline.load import load
from tfedge.pipeline.schema import Pipeline, pipeline_of

TRAINED = {"backbone", "finetune", "distill", "prune", "cluster", "quantize", "debug"}


def make(device: str) -> Pipeline:
    return pipeline_of(name="a", data={"path": "x"}, runtime={"device": device})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``machine(True)``: one with a GPU."""

    def having(gpu: bool) -> None:
        file = tmp_path / "nvidiactl"
        monkeypatch.setattr(accelerator, "NVIDIA", file)
        file.touch() if gpu else file.unlink(missing_ok=True)

    monkeypatch.delenv(accelerator.VARIABLE, raising=False)
    return having


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("asked", ["cpu", "gpu", "auto"])
def test_auto_is_what_the_machine_has(machine, asked: str, gpu: bool) -> None:
    machine(gpu)
    expected = {"auto": "gpu" if gpu else "cpu"}.get(asked, asked)
    assert accelerator.device_of(make(asked)) == expected


def test_what_trains_is_known_by_its_device_and_nothing_else_is(machine) -> None:
    machine(True)

    def key(name: str, device: str) -> str:
        return keys.key_of(keys.material(stage(name), keys.settings(make(device)), {}))

    changed = {row.name for row in STAGES if key(row.name, "cpu") != key(row.name, "gpu")}
    assert changed == TRAINED
    assert all(key(name, "auto") == key(name, "gpu") for name in TRAINED)
    machine(False)
    assert all(key(name, "auto") == key(name, "cpu") for name in TRAINED)


def test_a_gpu_that_is_not_used_is_told_of(machine, tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    for gpu, device, told in ((True, "cpu", True), (True, "auto", False), (False, "cpu", False)):
        machine(gpu)
        go(folder, f"runtime.device={device}", run_dir=folder / f"{gpu}{device}")
        events = (folder / f"{gpu}{device}" / "events.jsonl").read_text()
        assert ("training runs on the CPU, not on this machine's GPU" in events) == told
        note = "note: training runs on the CPU, not on this machine's GPU: runtime.device: gpu uses"
        assert any(note in line for line in plan_of(tmp_path, device)) == told


def plan_of(folder: Path, device: str) -> list[str]:
    file = folder / "plan.yaml"
    file.write_text(f"name: a\ndata: {{path: x}}\nruntime: {{device: {device}}}\n")
    loaded = load(file)
    return lines(loaded, plan(loaded, select(loaded.pipeline), folder), folder)


def said(tmp_path: Path, **runtime: Any) -> list[str]:
    file = tmp_path / "p.yaml"
    file.write_text(f"name: a\ndata: {{path: x}}\nruntime: {runtime}\n")
    loaded = load(file)
    told = lines(loaded, plan(loaded, select(loaded.pipeline), tmp_path), tmp_path)
    return [line for line in told if line.startswith("computes on")]


def test_the_plan_says_it_where_it_is_not_the_default(machine, tmp_path: Path) -> None:
    machine(True)
    line = "computes on: gpu (runtime.device: auto), perhaps not the same bytes every time"
    assert said(tmp_path, device="auto") == [line]
    assert said(tmp_path, device="cpu") == []


def test_tensorflow_is_told_before_it_is_imported(machine, monkeypatch) -> None:
    machine(False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv(accelerator.VARIABLE, "cpu")  # put back afterwards
    accelerator.prepare(make("gpu"), [stage("finetune")])
    assert os.environ[accelerator.VARIABLE] == "gpu"
    accelerator.prepare(make("cpu"), [stage("evaluate")])  # which has no use for it
    assert os.environ[accelerator.VARIABLE] == "gpu"
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.setitem(sys.modules, accelerator.DOOR, ModuleType("env"))
    accelerator.prepare(make("gpu"), [stage("finetune")])
    with pytest.raises(StageError, match="computes on the gpu already, not on the cpu"):
        accelerator.prepare(make("cpu"), [stage("finetune")])


def test_a_tensorflow_that_others_imported_is_refused(machine, monkeypatch) -> None:
    machine(False)
    monkeypatch.setenv(accelerator.VARIABLE, "cpu")
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.delitem(sys.modules, accelerator.DOOR, raising=False)
    accelerator.prepare(make("cpu"), [stage("evaluate")])  # which has no use for it
    with pytest.raises(StageError, match="imported before tfedge could set it up"):
        accelerator.prepare(make("cpu"), [stage("finetune")])
