"""The Coral drop: compiled, or plainly not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from color_helpers import FLOAT, INT8, Run, make_run
from edgetpu_helpers import compiled_model, fake_compiler

from tests.unit.tflite_helpers import DATA
from tfedge.cli import main
from tfedge.drops import coral, coral_compiler
from tfedge.drops.verify import verify
from tfedge.errors import DropError, MissingDependency
from tfedge.pipeline.schema import Package
from tfedge.stages import package
from tfedge.tflite import kernels, reader

CORAL = "package/drops/coral"


def packed(tmp: Path, **options: object) -> Run:
    given = {"targets": ["coral"], "coral": options}
    shipped = options.pop("shipped", INT8)
    run = make_run(tmp, evaluate=None, benchmark=None, package=given, shipped=shipped)
    package.run(run.context("package"))
    return run


def problems(drop: Path) -> list[str]:
    return [problem for check in verify(drop) for problem in check.problems]


@pytest.fixture
def deferred(tmp_path: Path) -> Path:
    return packed(tmp_path, compile="defer").folder / CORAL


def test_compiled_with_its_log(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path / "bin")
    drop = packed(tmp_path, compiler=str(compiler), min_runtime=13).folder / CORAL
    assert (drop / "color_edgetpu.tflite").read_bytes() == compiled_model()
    assert "16.0" in (drop / "color_edgetpu.log").read_text()
    assert (drop / "color.tflite").read_bytes() == INT8.read_bytes()
    called = json.loads((tmp_path / "bin" / "calls.json").read_text())
    assert called == ["-s", "-m", "13", "-o", ".", "color.tflite"]
    facts = json.loads((drop / "MANIFEST.json").read_text())["coral"]
    assert (facts["compiled"], facts["min_runtime"], facts["left_on_cpu"]) == (True, 13, 0)
    assert "all of it runs on the Edge TPU" in (drop / "README.md").read_text()
    assert problems(drop) == []


def test_kernels_that_are_reshaped_for_the_cpu_are_constants_for_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_MOST_TAPS", 4)  # the model has a depthwise kernel of nine
    wide = tmp_path / "wide.tflite"
    wide.write_bytes(kernels.with_fast_kernels(INT8.read_bytes()))
    drop = packed(tmp_path, compile="defer", shipped=wide).folder / CORAL
    assert [op.name for op in reader.read(wide).ops].count("RESHAPE") == 1
    assert "RESHAPE" not in [op.name for op in reader.read(drop / "color.tflite").ops]
    assert problems(drop) == []


def test_pixels_that_come_by_way_of_float_are_whole_numbers_for_the_compiler(
    tmp_path: Path,
) -> None:
    shipped = tmp_path / "by_float.tflite"
    shipped.write_bytes(kernels.with_float_input(INT8.read_bytes()))
    drop = packed(tmp_path, compile="defer", shipped=shipped).folder / CORAL
    made = reader.read(drop / "color.tflite")
    assert [op.name for op in made.ops] == [op.name for op in reader.read(INT8).ops]
    assert len(reader.read(shipped).float_tensors()) == 1 and not made.float_tensors()
    assert problems(drop) == []


def test_pools_that_are_convolutions_for_the_cpu_are_pools_for_the_compiler() -> None:
    plain = (DATA / "digits_int8.tflite").read_bytes()
    written = kernels.with_fast_kernels(plain)
    kinds = [[op.name for op in reader.read(model).ops] for model in (plain, written)]
    assert "AVERAGE_POOL_2D" in kinds[0] and "AVERAGE_POOL_2D" not in kinds[1]
    made = reader.read(coral.for_compiler(written))
    assert [(op.name, op.options) for op in made.ops] == [
        (op.name, op.options) for op in reader.read(plain).ops
    ]


def test_models_are_compiled_together(tmp_path: Path) -> None:
    other = shutil.copy(INT8, tmp_path / "other.tflite")
    compiler = fake_compiler(tmp_path / "bin")
    drop = packed(tmp_path, compiler=str(compiler), together=[str(other)]).folder / CORAL
    called = json.loads((tmp_path / "bin" / "calls.json").read_text())
    assert called[-2:] == ["color.tflite", "other.tflite"]
    assert (drop / "other_edgetpu.tflite").is_file()


@pytest.mark.parametrize("name", ["a b.tflite", "$(touch pwned).tflite", "-o.tflite", "x.txt"])
def test_a_name_that_a_script_could_trip_over_is_refused(tmp_path: Path, name: str) -> None:
    shutil.copy(INT8, tmp_path / name)
    with pytest.raises(DropError, match="rename it"):
        packed(tmp_path, compile="defer", together=[str(tmp_path / name)])


def test_a_lookalike_is_never_shipped(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path / "bin", really=False)
    with pytest.raises(DropError, match=r"color_edgetpu\.tflite: nothing in it runs on the Edge"):
        packed(tmp_path, compiler=str(compiler))
    assert not list(tmp_path.rglob("*_edgetpu.tflite"))


def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path / "bin", code=1)
    with pytest.raises(DropError, match="ended with 1: Model compiled successfully") as caught:
        packed(tmp_path, compiler=str(compiler))
    assert "made for edgetpu_compiler 16.0" in caught.value.lines()[-1]


def test_a_container_is_given_the_folder_and_no_network(tmp_path: Path) -> None:
    config = coral.Coral(compiler="docker:coral/compiler:16")
    command = coral_compiler.command(config, tmp_path)
    assert command[:2] == ["docker", "run"] and "--network=none" in command
    assert command[-2:] == ["coral/compiler:16", "edgetpu_compiler"]


@pytest.mark.parametrize("compiler", ["docker:--privileged", "docker:", "--help", "", "docker: x"])
def test_an_option_is_no_image(
    tmp_path: Path, compiler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"name: p\ndata: {{path: x}}\npackage: {{coral: {{compiler: '{compiler}'}}}}\n")
    assert main(["check", str(file)]) == 2
    assert "p.yaml:3:" in (said := capsys.readouterr().err)
    assert "package.coral.compiler" in said and "a program, or docker:IMAGE" in said


@pytest.mark.train
def test_without_the_compiler_it_says_what_to_install_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingDependency, match="edgetpu_compiler is not installed"):
        coral_compiler.needs(Package.model_validate({"targets": ("coral",)}))
    file = tmp_path / "p.yaml"
    file.write_text(
        "name: p\ndata: {path: 'sample:digits', image_size: 65}\n"
        "quantize:\npackage: {targets: [coral]}\n"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["check", str(file)]) == 0
    assert "note: target coral: edgetpu_compiler is not installed" in capsys.readouterr().out
    arguments = ["run", str(file), "--runs", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    assert main(arguments) == 3
    said = capsys.readouterr().err
    assert "edgetpu_compiler is not installed" in said and "compile: defer" in said
    run_json = json.loads((tmp_path / "r" / "latest" / "run.json").read_text())
    assert run_json["stages"] == []


def test_a_float_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DropError, match="float tensors"):
        packed(tmp_path, compile="defer", shipped=FLOAT)


def test_layers_that_were_kept_in_float_are_not(tmp_path: Path) -> None:
    given = {"targets": ["coral"], "coral": {"compile": "defer"}}
    kept = {"keep": {"logits": "float"}}
    run = make_run(
        tmp_path, evaluate=None, benchmark=None, package=given, quantize=kept, shipped=FLOAT
    )
    package.run(run.context("package"))
    assert "logits kept in float" in (run.folder / CORAL / "CARD.md").read_text()
    assert problems(run.folder / CORAL) == []


def test_deferred_says_plainly_that_it_is_not_compiled(deferred: Path) -> None:
    assert "NOT COMPILED" in (deferred / "README.md").read_text()
    assert not list(deferred.glob("*edgetpu*"))
    assert json.loads((deferred / "MANIFEST.json").read_text())["coral"]["compiled"] is False
    assert problems(deferred) == []


def test_deferred_is_compiled_by_its_own_script_and_still_holds(
    deferred: Path, tmp_path: Path
) -> None:
    compiler = fake_compiler(tmp_path / "bin")
    path = f"{compiler.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(deferred / "compile.sh")], env={"PATH": path}, cwd="/", capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert problems(deferred) == []
    (deferred / "color_edgetpu.tflite").write_bytes(INT8.read_bytes())
    assert "nothing in it runs on the Edge TPU" in problems(deferred)[0]


def test_the_script_without_the_compiler(deferred: Path, tmp_path: Path) -> None:
    for tool in ("sh", "dirname"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        ["sh", str(deferred / "compile.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "not installed" in done.stderr


def classify(drop: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(drop / "classify_coral.py"), *args]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_example_tells_its_usage_under_its_own_name(deferred: Path) -> None:
    text = (deferred / "classify_coral.py").read_text("utf-8")
    assert "python classify_coral.py --check" in text and "classify.py" not in text


def test_without_hardware_the_example_says_so(deferred: Path) -> None:
    assert classify(deferred, "--check", "--cpu").returncode == 0
    done = classify(deferred, "--check")
    assert done.returncode == 2
    assert "color_edgetpu.tflite is not there: run compile.sh first" in done.stderr
    (deferred / "color_edgetpu.tflite").write_bytes(compiled_model())
    done = classify(deferred, "--check")
    assert done.returncode == 2
    assert done.stderr.startswith("classify_coral.py: ") and "Traceback" not in done.stderr
    assert "libedgetpu" in done.stderr or "no Edge TPU found" in done.stderr
