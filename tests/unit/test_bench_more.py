"""tools/bench_more.py: pictures, accuracy, and time per op by either method."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert
from color_helpers import CLASSES, FLOAT, INT8, pixels
from PIL import Image
from script_helpers import SCRIPT, document, fake_runtime, run

from tfedge.bench import bench_more
from tfedge.tflite.reader import read

QUICK = ("--runs", "12", "--warmup", "2")
OTHER = SimpleNamespace(__name__="tflite_runtime.interpreter", Interpreter=litert.Interpreter)


def pictures(folder: Path, each: int = 3) -> Path:
    """A folder for each class; of ``green`` all show something red."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            shown = 0 if name == "green" else label
            Image.fromarray(pixels(shown, 10 * label + i)).save(folder / name / f"{i}.png")
    return folder


def test_accuracy_on_a_labelled_folder(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(CLASSES) + "\n")
    words = (INT8, *QUICK, "--accuracy", folder)
    (result,) = document(*words, "--labels", labels, "--processes=2")["results"]
    assert result["accuracy"] == {"top1": pytest.approx(2 / 3), "n": 9, "classes": 3}
    (result,) = document(*words)["results"]
    assert result["accuracy"]["top1"] == 0, "the alphabet is another order"


def test_pictures_are_the_input(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures") / "red"
    (result,) = document(INT8, *QUICK, "--pictures", folder)["results"]
    assert result["input"] == "pictures"


def test_a_picture_is_cut_to_its_middle_and_turned_upright(tmp_path: Path) -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = (10, 200, 30)
    wide[:20, 40:80] = (250, 0, 0)  # the upper half, before it is turned
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(wide).save(tmp_path / "a.png", exif=exif)
    port = {"shape": np.array([1, 32, 32, 3]), "dtype": np.uint8}
    model = SimpleNamespace(inputs=[port])
    got = bench_more.picture(model, tmp_path / "a.png")
    assert got.shape == (1, 32, 32, 3)
    assert (got[0, 2, 16].tolist(), got[0, 30, 16].tolist()) == ([10, 200, 30], [250, 0, 0])
    port["dtype"] = np.int8
    assert np.array_equal(bench_more.picture(model, tmp_path / "a.png") + 128.0, got)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--accuracy={tmp}/none"], 6, "0 pictures of 0 classes"),
        (["--accuracy={tmp}/pictures", "--labels={tmp}/two.txt"], 6, "no class: blue"),
        (["--accuracy={tmp}/pictures", "--labels={tmp}/gone.txt"], 6, "gone.txt"),
        (["--pictures={tmp}/gone"], 6, "No such file"),
        (["--pictures={tmp}/none"], 6, "none: no pictures"),
        (["--pictures={tmp}/texts"], 6, "a.jpg: no picture"),
    ],
)
def test_what_can_t_be_used_is_named(words: list, code: int, said: str, tmp_path: Path) -> None:
    pictures(tmp_path / "pictures", each=1)
    (tmp_path / "two.txt").write_text("red\ngreen\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jpg").write_text("no picture")
    done = run(INT8, *QUICK, *(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_pictures_are_for_models_of_8_bits(tmp_path: Path) -> None:
    Image.fromarray(pixels(0, 1)).save(tmp_path / "a.png")
    port = {"shape": np.array([1, 32, 32, 3]), "dtype": np.float32}
    with pytest.raises(ValueError, match="the model takes float32"):
        bench_more.picture(SimpleNamespace(inputs=[port]), tmp_path / "a.png")


def test_without_pillow_it_says_so_and_alone_it_works(tmp_path: Path) -> None:
    (tmp_path / "no" / "PIL").mkdir(parents=True)
    (tmp_path / "no" / "PIL" / "__init__.py").write_text("raise ImportError('no PIL')\n")
    words = (INT8, *QUICK, "--pictures", pictures(tmp_path / "pictures") / "red")
    done = run(*words, PYTHONPATH=str(tmp_path / "no"))
    assert done.returncode == 3
    assert "hint: python3 -m pip install pillow" in done.stderr
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(SCRIPT, alone)
    (one,) = document(*words, "--profile", script=alone / SCRIPT.name)["results"]
    assert (one["input"], one["profile"]["method"]) == ("pictures", "litert-profiler")
    assert [path.name for path in alone.iterdir()] == [SCRIPT.name]
    check = [sys.executable, str(SCRIPT.with_name("pack_bench.py")), "--check"]
    assert subprocess.run(check).returncode == 0


def names(file: Path) -> list[str]:
    return [op.name for op in read(file).ops]


def test_profile_of_litert() -> None:
    (result,) = document(INT8, "--runs=20", "--profile")["results"]
    profile = result["profile"]
    assert profile["method"] == "litert-profiler", profile["error"]
    indices = [op["index"] for op in profile["ops"] if op["index"] is not None]
    assert indices == sorted(indices)
    assert len(indices) > len(names(INT8)) / 2
    for op in profile["ops"]:
        if op["index"] is not None:
            assert op["op"] == names(INT8)[op["index"]]
    total = sum(op["ns"] for op in profile["ops"])
    assert total == pytest.approx(sum(kind["ns"] for kind in profile["types"]))
    assert sum(kind["share"] for kind in profile["types"]) == pytest.approx(1)
    assert sum(kind["count"] for kind in profile["types"]) == len(profile["ops"])


@pytest.mark.parametrize("file", [INT8, FLOAT], ids=["int8", "float"])
def test_profile_by_cutting(file: Path) -> None:
    """Each op once, in the file's order, with the name of the tensor that it makes."""
    found = bench_more.profile(str(file), OTHER, {"num_threads": 1}, 10)
    assert found["method"] == "graph-cut", found["error"]
    model = read(file)
    assert [op["op"] for op in found["ops"]] == names(file)
    assert [op["index"] for op in found["ops"]] == list(range(len(model.ops)))
    made = [model.tensors[op.outputs[0]].name for op in model.ops]
    assert [op["name"] for op in found["ops"]] == made
    assert sum(kind["ns"] for kind in found["types"]) > 0
    assert "us, types better" in found["error"]


def test_a_cut_model_computes_what_the_whole_one_does_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut after op k, the model's output is the tensor that op k makes."""
    seen = []

    def watched(module: object, words: dict, **source: object) -> litert.Interpreter:
        part = litert.Interpreter(**source, **words)
        part.allocate_tensors()
        port = part.get_input_details()[0]
        part.set_tensor(port["index"], pixels(1, 1)[None].astype(port["dtype"]))
        part.invoke()
        if "model_content" in source:
            (out,) = part.get_output_details()
            seen.append((out["index"], part.get_tensor(out["index"])))
        return part

    monkeypatch.setattr(bench_more, "load", watched)
    monkeypatch.setattr(bench_more, "PASSES", 1)
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    words = {"num_threads": 1, "experimental_op_resolver_type": plain}
    bench_more.cuts(str(INT8), litert, words)
    whole = litert.Interpreter(
        str(INT8),
        experimental_op_resolver_type=plain,
        experimental_preserve_all_tensors=True,
    )
    whole.allocate_tensors()
    whole.set_tensor(whole.get_input_details()[0]["index"], pixels(1, 1)[None])
    whole.invoke()
    assert [index for index, _ in seen] == [op.outputs[0] for op in read(INT8).ops]
    for index, value in seen:
        assert np.array_equal(value, whole.get_tensor(index)), index


def test_the_method_and_its_reason_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise bench_more.ProfileError("control flow")

    monkeypatch.setattr(bench_more, "in_a_process", refused)
    found = bench_more.profile(str(INT8), litert, {"num_threads": 1}, 10)
    assert found["method"] == "graph-cut"
    assert "LiteRT's profiler: control flow" in found["error"]

    def broken(**words: object) -> None:
        raise RuntimeError("no such op")

    module = SimpleNamespace(__name__="ai_edge_litert.interpreter", Interpreter=broken)
    found = bench_more.profile(str(INT8), module, {"num_threads": 1}, 10)
    assert (found["method"], found["types"], found["ops"]) == ("none", [], [])
    assert found["error"] == "LiteRT's profiler: control flow; cutting: no such op"


def test_the_profiler_is_for_known_wheels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_more, "VERSIONS", ("1.9.",))
    with pytest.raises(bench_more.ProfileError, match=r"known of LiteRT 2\.2 and 2\.3"):
        bench_more.events(str(INT8), 1, 5, True)


def test_a_profiler_that_crashes_costs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(bench_more.ProfileError, match="ended -11"):
        bench_more.in_a_process(str(INT8), 1, 5, True)


def test_a_fake_runtime_can_t_be_profiled(tmp_path: Path) -> None:
    words = (INT8, *QUICK, "--runtime=tflite-runtime", "--profile")
    (result,) = document(*words, PYTHONPATH=fake_runtime(tmp_path))["results"]
    assert result["profile"]["method"] == "none"
    assert result["summary"]["n"] == 12
