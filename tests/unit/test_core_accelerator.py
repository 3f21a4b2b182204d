"""What training computes on: the CPU unless somebody asks; part of what a result is known by."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from core_fakes import go, prepare

from tfedge.core import accelerator, keys
from tfedge.core.plan import lines, plan, select
from tfedge.core.stages import STAGES, stage
from tfedge.errors import StageError
from tfedge.files import processor
from tfedge.files.parallel import cores
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


MORE_THAN_ONE = pytest.mark.skipif(cores() < 2, reason="this process may use one core only")


X86 = "fpu sse sse2 ssse3 sse4_1 sse4_2"
AVX512 = "avx avx2 fma avx512f avx512dq avx512cd avx512bw avx512vl"
PROCESSORS = {
    f"processor\t: 0\nflags\t\t: {X86} {AVX512} avx512_vnni amx_int8\nbugs\t: x\n": "avx512",
    f"flags : {X86} avx avx2 fma avx512f\nflags : {X86}\n": "avx2",  # Xeon Phi; the first core
    f"flags : {X86} avx avx2\n": "avx",
    f"flags : {X86}\n": "sse",
    "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n": "neon",
    "Features\t: fp asimd fphp asimdhp asimddp\n": "fp16",
    "Features\t: fp asimd asimdhp sve\n": "sve",
    "isa : rv64imafdc\n": platform.machine(),
    "": platform.machine(),
}


@pytest.mark.parametrize(("text", "name"), PROCESSORS.items(), ids=PROCESSORS.values())
def test_what_trains_is_known_by_the_instructions_of_the_processor(
    text: str, name: str, tmp_path: Path, plain: pytest.MonkeyPatch
) -> None:
    """Kernels are chosen by them, and round otherwise."""
    file = tmp_path / "cpuinfo"
    plain.setattr(processor, "CPUINFO", tmp_path / "none")
    assert accelerator.instructions() == platform.machine()
    file.write_text(text)
    other = {} if name == platform.machine() else TRAINED
    assert changed_by(lambda: plain.setattr(processor, "CPUINFO", file)) == set(other)
    assert keys.settings(make("cpu"))["device"]["instructions"] == name


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that tells libraries nothing; what a test changes is put back."""
    for name in [accelerator.ONEDNN, accelerator.THREADS]:
        monkeypatch.setenv(name, "")  # so that it is put back even where it was not set
        monkeypatch.delenv(name)
    return monkeypatch


def changed_by(change: Callable[[], object]) -> set[str]:
    """The stages that have another key after ``change``."""

    def all_keys() -> dict[str, str]:
        settings = keys.settings(make("cpu"))
        return {row.name: keys.key_of(keys.material(row, settings, {})) for row in STAGES}

    before = all_keys()
    change()
    return {name for name, key in all_keys().items() if key != before[name]}


@MORE_THAN_ONE
def test_what_trains_on_one_core_is_another_result(plain: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        assert changed_by(lambda: os.sched_setaffinity(0, {min(allowed)})) == TRAINED
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("name", "value", "differs"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0", True),
        ("TF_ENABLE_ONEDNN_OPTS", "False", True),  # TensorFlow reads this as no, too
        ("TF_ENABLE_ONEDNN_OPTS", "1", False),  # as without it
        ("TF_NUM_INTRAOP_THREADS", "61", True),
        ("TF_NUM_INTRAOP_THREADS", f"{cores()}", False),
        ("TF_NUM_INTRAOP_THREADS", "0", False),
        ("TF_NUM_INTRAOP_THREADS", "many", False),
        ("ONEDNN_MAX_CPU_ISA", "SSE41", False),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", False),
        ("TF_CPP_MIN_LOG_LEVEL", "0", False),
        ("ONEDNN_VERBOSE", "1", False),
        ("TF_VAR_password", "of Terraform", False),
    ],
)
def test_what_changes_how_libraries_compute_is_part_of_the_key(
    plain: pytest.MonkeyPatch, name: str, value: str, differs: bool
) -> None:
    assert changed_by(lambda: plain.setenv(name, value)) == (TRAINED if differs else set())


def test_tensorflow_gets_what_the_key_says(machine, plain: pytest.MonkeyPatch) -> None:
    machine(False)
    plain.delitem(sys.modules, "tensorflow", raising=False)
    plain.setenv(accelerator.VARIABLE, "cpu")
    plain.setenv(accelerator.THREADS, "3")
    plain.setenv(accelerator.ONEDNN, "false")
    before = keys.settings(make("cpu"))["device"]
    accelerator.prepare(make("cpu"), [stage("finetune")])
    assert (before["cores"], before["onednn"]) == (3, False)
    assert (os.environ[accelerator.THREADS], os.environ[accelerator.ONEDNN]) == ("3", "0")
    assert keys.settings(make("cpu"))["device"] == before


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


def said(tmp_path: Path, **runtime: Any) -> str:
    file = tmp_path / "p.yaml"
    file.write_text(f"name: a\ndata: {{path: x}}\nruntime: {runtime}\n")
    loaded = load(file)
    told = lines(loaded, plan(loaded, select(loaded.pipeline), tmp_path), tmp_path)
    (line,) = (line for line in told if line.startswith("computes on"))
    return line


def test_the_plan_says_what_is_computed_on(
    machine, plain: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(True)
    plain.setenv(accelerator.THREADS, "4")
    plain.setattr(accelerator, "instructions", lambda: "avx2")
    then = "; with others a stage trains anew"
    assert said(tmp_path, device="cpu") == f"computes on: cpu, 4 cores, avx2, oneDNN{then}"
    gpu = "computes on: gpu (runtime.device: auto), 4 cores, avx2, oneDNN"
    assert said(tmp_path, device="auto") == f"{gpu}, perhaps not the same bytes every time{then}"
    plain.setenv(accelerator.THREADS, "1")
    plain.setenv(accelerator.ONEDNN, "0")
    assert said(tmp_path, device="cpu") == f"computes on: cpu, 1 core, avx2, no oneDNN{then}"


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
