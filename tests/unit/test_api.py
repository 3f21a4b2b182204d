"""The Python API: what it returns and raises, and that it leaves its process as it was."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import Board, Lab
from color_helpers import CLASSES, DATA, FLOAT, INT8, make_run
from core_fakes import ALL, NEVER_CACHED, TABLE, calls, prepare
from PIL import Image

import tfedge
import tfedge.benchmark.result
from tfedge import (
    DryRun,
    Run,
    RunProgress,
    bench,
    check,
    cli,
    evaluate,
    inspect,
    load,
    run,
    verify,
)
from tfedge.core import engine, plan
from tfedge.drops.verify import Check
from tfedge.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    DropError,
    GateFailed,
    TfedgeError,
    UnsupportedModel,
)
from tfedge.stages import evaluate as evaluating

ROOT = Path(__file__).parents[2]
DROP = ROOT / "models" / "digits-mobilenetv2"
QUICK: dict[str, Any] = {"runs": 10, "warmup": 1, "processes": 2}

# ------------------------------------------------------------------ names


def test_importing_it_imports_nothing_heavy() -> None:
    script = "import sys, tfedge; from tfedge import load, run, Run, bench; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    roots = {name.split(".")[0] for name in ran.stdout.split()}
    assert not roots & {"numpy", "tensorflow", "tf_keras", "pydantic", "yaml", "click", "PIL"}


def test_every_name_is_there_whatever_was_imported_before() -> None:
    assert "bench" in dir(tfedge) and set(tfedge.__all__) <= set(dir(tfedge))
    for name in tfedge.__all__:
        assert callable(getattr(tfedge, name)), name
        assert getattr(tfedge, name).__doc__, name
    assert not hasattr(tfedge, "utils")


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert (Path(tfedge.__file__).parent / "py.typed").is_file()


# ------------------------------------------------------------------ load and check


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline whose stages are fakes; the working directory is another one."""
    monkeypatch.setattr(plan, "select", partial(plan.select, stages=TABLE))
    monkeypatch.setattr(engine, "run", partial(engine.run, report="core_fakes:report"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return prepare(tmp_path)


def test_overrides_are_values_or_text(folder: Path) -> None:
    values = {"seed": 7, "finetune.learning_rate": 1e-5, "data.path": Path("mine"), "prune": None}
    loaded = load(folder / "fake.yaml", values)
    assert loaded.pipeline.seed == 7 and loaded.pipeline.finetune.learning_rate == 1e-5
    assert loaded.pipeline.data.path == str(Path("mine").absolute())
    assert load(str(folder / "fake.yaml"), ["seed=7"]).pipeline.seed == 7
    assert load(folder / "fake.yaml", "seed=7").pipeline.seed == 7


def test_every_problem_is_raised_at_once(folder: Path) -> None:
    for ask in (load, check, run):
        with pytest.raises(ConfigError) as error:
            ask(folder / "fake.yaml", {"seed": "x", "finetune.epochs": 0})
        assert [problem.split(":")[0] for problem in error.value.problems] == [
            '--set seed="x"',
            "--set finetune.epochs=0",
            *([str(folder / "photos")] if ask is check else []),  # that is not there
        ]
    assert not Path("runs").exists()


def test_a_loaded_pipeline_takes_no_more_overrides(folder: Path) -> None:
    loaded = load(folder / "fake.yaml")
    with pytest.raises(ConfigError, match="loaded already"):
        check(loaded, {"seed": 7})


def test_check_says_what_would_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = folder / "cache"
    found = check(folder / "fake.yaml", cache=cache)
    assert isinstance(found, DryRun)
    assert [step.stage.name for step in found.steps] == ALL
    assert {step.state for step in found.steps} == {"miss", "waits", "runs"}
    assert capsys.readouterr() == ("", "") and not cache.exists()
    assert cli.main(["check", str(folder / "fake.yaml"), "--cache", str(cache)]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    part = check(folder / "fake.yaml", cache=cache, from_stage="quantize", to_stage="convert")
    assert [step.stage.name for step in part.steps] == ALL[:4]
    with pytest.raises(ConfigError, match="no such stage"):
        check(folder / "fake.yaml", cache=cache, to_stage="quantise")


# ------------------------------------------------------------------ run


def test_a_run_and_what_it_left(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = run(folder / "fake.yaml", cache=folder / "cache", runs=folder / "runs")
    assert done.directory == (folder / "runs" / "latest").resolve()
    assert (done.pipeline, done.status) == ("fake", "ok") and done.seconds > 0
    assert [stage.name for stage in done.stages] == ALL
    assert {stage.cache for stage in done.stages} == {"miss", "none"}
    assert done.metrics["int8"]["top1"] == 0.87
    assert done.model == done.directory / "convert" / "model.tflite" and done.model.is_file()
    assert done.drops == {"linux": done.directory / "drops" / "linux"}
    assert done.report is not None and done.report.read_text() == "ok"
    assert Run.read(done.directory) == Run.read(folder / "runs" / "latest") == done
    assert repr(done) == f"Run(directory={done.directory!r})"
    # What the stages print is left where it goes, and nothing is added to it.
    assert capfd.readouterr() == ("noise of a library\n", "noise from C\n")
    again = run(load(folder / "fake.yaml"), cache=folder / "cache", run_dir=folder / "here")
    assert again.directory == folder / "here"
    assert [s.name for s in again.stages if s.cache != "hit"] == NEVER_CACHED


def test_a_part_of_a_run_has_a_part_of_the_results(folder: Path) -> None:
    done = run(folder / "fake.yaml", cache=folder / "cache", to_stage="data")
    assert done.directory.parent == Path("runs").absolute()
    assert (done.model, done.drops, done.metrics, done.benchmark) == (None, {}, {}, ())
    for ask in (inspect, bench, evaluate):
        with pytest.raises(ConfigError, match="has no model"):
            ask(done)


class Listener(RunProgress):
    """Remembers, and prints: to the very streams that a stage's output would go to."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def start(self, stage: str, number: int, total: int) -> None:
        self.heard.append(f"start {stage} {number}/{total}")

    def note(self, text: str) -> None:
        print(f"heard {text}")

    def end(self, cache: str, seconds: float) -> None:
        self.heard.append(f"end {cache}")

    def finish(self) -> None:
        self.heard.append("finish")


def test_a_run_in_a_thread_leaves_the_process_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in watched]
    descriptors = [os.fstat(number).st_ino for number in (1, 2)]
    seen: list[Any] = []

    class Watch(Listener):
        def update(self, what: str, done: int, total: int, unit: str = "") -> None:
            seen.append([signal.getsignal(number) for number in watched])
            seen.append([os.fstat(number).st_ino for number in (1, 2)])

    told, results = Watch(), []
    arguments = {"cache": folder / "cache", "runs": folder / "runs", "progress": told}
    thread = threading.Thread(target=lambda: results.append(run(folder / "fake.yaml", **arguments)))
    thread.start()
    thread.join()
    assert results[0].status == "ok"
    assert seen == [before, descriptors]
    assert "heard a decision\n" in capfd.readouterr().out
    assert told.heard[:2] == ["start data 1/7", "end miss"] and told.heard[-1] == "finish"
    run(folder / "fake.yaml", **arguments)  # in the main thread
    assert [signal.getsignal(number) for number in watched] == before


def test_progress_on_a_stream_is_lines(folder: Path) -> None:
    stream = io.StringIO()
    run(folder / "fake.yaml", cache=folder / "cache", progress=stream, to_stage="finetune")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("[1/2] data") and "      a decision" in lines


def test_output_can_be_captured_as_the_command_does(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run(folder / "fake.yaml", cache=folder / "cache", capture_output=True)
    assert capfd.readouterr().err == ""
    assert "noise from C" in (done.directory / "finetune" / "log.txt").read_text()


def test_the_run_of_a_gate_that_failed_can_be_read(folder: Path) -> None:
    with pytest.raises(GateFailed) as failed:
        run(folder / "fake.yaml", {"evaluate.gates.min_accuracy": 0.95}, cache=folder / "cache")
    error = failed.value
    assert (error.gate, error.limit, error.got) == ("min_accuracy", "0.95", "0.87")
    assert error.run_dir is not None
    measured = Run.read(error.run_dir)
    assert measured.status == "gate failed" and measured.metrics["int8"]["top1"] == 0.87
    assert measured.report is not None and measured.drops == {}


def test_one_run_at_a_time_in_a_process(folder: Path) -> None:
    class Meddler(RunProgress):
        def note(self, text: str) -> None:
            run(folder / "fake.yaml", cache=folder / "cache", runs=folder / "second")

    with pytest.raises(TfedgeError, match="another run is at work in this process"):
        run(folder / "fake.yaml", cache=folder / "cache", progress=Meddler())
    assert not (folder / "second").exists()
    assert run(folder / "fake.yaml", cache=folder / "cache").status == "ok"


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="can't be read as JSON"):
        Run.read(tmp_path)


def test_the_cache_is_the_environment_s(folder: Path, own_cache: Path) -> None:
    run(folder / "fake.yaml", to_stage="data")
    assert (own_cache / "calls.txt").is_file() and calls(folder) == []


# ------------------------------------------------------------------ evaluate


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """A run of the color models, evaluated: 12 images, of which one is mislabelled."""
    data = {"path": str(tmp_path / "photos"), "image_size": 32}
    made = make_run(tmp_path, mislabelled=1, data=data, quantize={})
    evaluating.run(made.context("evaluate"))
    (made.folder / "resolved.json").write_text(made.pipeline.model_dump_json(exclude_none=True))
    return made


def test_a_run_s_model_on_its_own_images_gives_what_the_run_measured(made: Any) -> None:
    result = {"status": "ok", "model": {"path": "convert/model.tflite"}}
    found = evaluate(Run(made.folder, result), cache=made.root.parent / "cache")
    assert found == told("int8", made)
    assert found["n"] == 12 and found["top1"] == pytest.approx(11 / 12)
    plain = evaluate(FLOAT, made.folder, labels=CLASSES, cache=made.root.parent / "cache")
    assert plain == told("float", made)


def told(model: str, made: Any, split: str | None = "val") -> dict[str, Any]:
    """What the run measured of a model, as ``evaluate`` gives it."""
    found = made.json("evaluate/metrics.json")[model]
    return {"task": "image-classification", "split": split, **found}


def test_any_folder_of_class_folders(made: Any, tmp_path: Path) -> None:
    expected = told("int8", made)
    assert evaluate(INT8, made.root / "val", labels=CLASSES) == told("int8", made, None)
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    assert evaluate(str(INT8), str(made.root), labels=tmp_path / "labels.txt") == expected
    # The names of the folders, sorted, are another order than the model's.
    other = evaluate(INT8, made.root, split="val")
    assert [row["class"] for row in other["per_class"]] == sorted(CLASSES)
    assert other["top1"] < 0.5
    # Where the model lies in a run directory, or a drop, that tells its classes.
    assert evaluate(made.folder / "convert" / "model.tflite", made.root) == expected
    shutil.rmtree(made.root / "val" / "blue")
    fewer = evaluate(INT8, made.root, labels=CLASSES)
    assert fewer["n"] == 8 and fewer["per_class"][2]["support"] == 0


def test_progress_of_an_evaluation(made: Any) -> None:
    counted: list[tuple[int, int]] = []

    class Count(RunProgress):
        def update(self, what: str, done: int, total: int, unit: str = "") -> None:
            assert (what, unit) == ("evaluate color_int8.tflite", "images")
            counted.append((done, total))

    evaluate(INT8, made.root, labels=CLASSES, progress=Count())
    assert counted[-1] == (12, 12)


def test_what_can_not_be_evaluated_is_named(made: Any, tmp_path: Path) -> None:
    wrong: list[tuple[type[TfedgeError], str, dict[str, Any]]] = [
        (ConfigError, "no examples for a model that is no run", {"images": None}),
        (DataError, "no such folder", {"images": tmp_path / "gone"}),
        (DataError, "blue is no class of the model", {"labels": ["red", "green", "pink"]}),
        (UnsupportedModel, "scores for 4 classes", {"labels": [*CLASSES, "pink"]}),
        (DataError, "photos: no test images", {"split": "test"}),
        (DataError, "val: no val images", {"split": "val", "images": made.root / "val"}),
        (DataError, "no images", {"images": tmp_path / "empty"}),
        (DataError, "no test images", {"images": made.folder, "split": "test"}),
        (ConfigError, "fit must be crop, stretch, pad, got 'squash'", {"fit": "squash"}),
        (ConfigError, "split must be train, val, test, got 'dev'", {"split": "dev"}),
        (ConfigError, "evaluate.top_k: must be", {"top_k": 0}),
        (ArtifactError, "no such model", {"model": tmp_path / "gone.tflite"}),
        (UnsupportedModel, "it can't be asked this way", {"model": DATA / "digits_int8.tflite"}),
    ]
    (tmp_path / "empty").mkdir()
    for kind, said, changes in wrong:
        given = {"model": INT8, "images": made.root, "labels": CLASSES} | changes
        with pytest.raises(kind, match=said):
            evaluate(given.pop("model"), given.pop("images"), **given)
    bad = made.root / "val" / "red" / "99.png"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"99\.png: not an image"):
        evaluate(INT8, made.root, labels=CLASSES)
    Image.new("RGB", (32, 32)).save(bad)
    (made.folder / "resolved.json").write_text("{}")
    with pytest.raises(ArtifactError, match="no pipeline"):
        evaluate(INT8, made.folder, labels=CLASSES)


# ------------------------------------------------------------------ bench


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(Board("local", 500), Board("ssh://pi@board", 1_000))
    monkeypatch.setattr(
        "tfedge.devices.session.open_device", lambda address, **_: lab.boards[address].device
    )
    return lab


def test_bench_gives_typed_results(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    one = bench(INT8, **QUICK)
    assert [type(result) for result in one.results] == [tfedge.benchmark.result.Result]
    assert one.results[0].summary.n == 20 and one.comparisons == ()
    devices = ["local", "ssh://pi@board"]
    many = bench([FLOAT, str(INT8)], devices=devices, threads=[1, 2], compare=True, **QUICK)
    assert [(r.threads, r.device, r.model) for r in many.results] == [
        (threads, device, model)
        for threads in (1, 2)
        for device in devices
        for model in ("color_float", "color_int8")
    ]
    assert {versus.axis for versus in many.comparisons} == {"model", "device"}
    assert capfd.readouterr() == ("", "")


def test_everything_that_makes_no_sense_is_told_at_once(lab: Lab) -> None:
    with pytest.raises(ConfigError) as error:
        bench([INT8, INT8], threads=0, runs=0, runtimes="liteRT", labels="l.txt", fit="squash")
    assert error.value.problems == [
        f"MODEL {INT8} is given twice",
        "--runtime must be auto, litert, tflite-runtime, pycoral, tensorflow, got 'liteRT'",
        "--threads must be numbers from 1 on, got 0",
        "--runs must be 1 or more, got 0",
        "--labels is for --accuracy",
        "--fit must be crop, stretch, pad, got 'squash'",
        "--fit is for --pictures and --accuracy",
    ]
    for wrong in ({"timeout": 0}, {"seconds": -1}, {"compare": True}, {"devices": ()}):
        with pytest.raises(ConfigError):
            bench(INT8, **wrong)
    assert not any(board.turns for board in lab.boards.values())


# ------------------------------------------------------------------ inspect and verify


def test_inspect_is_typed_and_the_same_as_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    found = inspect(INT8)
    assert found.macs == 32_024 and found.float_tensors == 0
    assert found.inputs[0].shape == (1, 32, 32, 3)
    assert found.inputs[0].quantization is not None
    assert found.inputs[0].quantization.scales == (1.0,)
    assert found.edgetpu.mapped == found.edgetpu.total == len(found.ops)
    assert cli.main(["inspect", str(INT8), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_json()


def test_verify_gives_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = verify(DROP)
    assert {type(one) for one in checks} == {Check}
    assert [one.what for one in checks] == ["files", "model", "labels", "golden pairs"]
    assert not any(one.problems for one in checks) and capsys.readouterr() == ("", "")
    copy = shutil.copytree(DROP, tmp_path / "drop")
    (copy / "labels.txt").write_text("x\n")
    assert verify(copy)[0].problems == ("labels.txt was changed",)
    with pytest.raises(DropError, match="no such drop"):
        verify(tmp_path / "gone")


def test_verify_on_a_device() -> None:
    checks = verify(DROP, devices=f"local:{sys.executable}")
    assert checks[-1].what == f"golden pairs on local:{sys.executable}"
    assert "8 of 8 identical" in checks[-1].found
