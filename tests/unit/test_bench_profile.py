"""The device script's --profile: time per op by either method."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert
from color_helpers import FLOAT, INT8, pixels
from script_helpers import SCRIPT, document, fake_runtime

from tfedge.benchmark.script import litert_profiler, profile
from tfedge.benchmark.script.litert_profiler import ProfileError
from tfedge.tflite.reader import read

QUICK = ("--runs", "12", "--warmup", "2")
OTHER = SimpleNamespace(__name__="tflite_runtime.interpreter", Interpreter=litert.Interpreter)


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
    found = profile.profile(str(file), OTHER, {"num_threads": 1}, 10, str(SCRIPT))
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

    def watched(module: object, words: dict, shape: str, **source: object) -> litert.Interpreter:
        part = litert.Interpreter(**source, **words)
        part.allocate_tensors()
        port = part.get_input_details()[0]
        part.set_tensor(port["index"], pixels(1, 1)[None].astype(port["dtype"]))
        part.invoke()
        if "model_content" in source:
            (out,) = part.get_output_details()
            seen.append((out["index"], part.get_tensor(out["index"])))
        return part

    monkeypatch.setattr(profile, "zeroed_interpreter", watched)
    monkeypatch.setattr(profile, "PASSES", 1)
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    words = {"num_threads": 1, "experimental_op_resolver_type": plain}
    profile.time_cuts(str(INT8), litert, words)
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
        raise ProfileError("control flow")

    monkeypatch.setattr(profile, "profile_in_process", refused)
    found = profile.profile(str(INT8), litert, {"num_threads": 1}, 10, str(SCRIPT))
    assert found["method"] == "graph-cut"
    assert "LiteRT's profiler: control flow" in found["error"]

    def broken(**words: object) -> None:
        raise RuntimeError("no such op")

    module = SimpleNamespace(__name__="ai_edge_litert.interpreter", Interpreter=broken)
    found = profile.profile(str(INT8), module, {"num_threads": 1}, 10, str(SCRIPT))
    assert (found["method"], found["types"], found["ops"]) == ("none", [], [])
    assert found["error"] == "LiteRT's profiler: control flow; cutting: no such op"


def test_the_profiler_is_for_known_wheels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_profiler, "LITERT_VERSIONS", ("1.9.",))
    with pytest.raises(ProfileError, match=r"known of LiteRT 2\.2 and 2\.3"):
        litert_profiler.profile_events(str(INT8), 1, 5, True)


def test_a_profiler_that_crashes_costs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ProfileError, match="ended -11"):
        litert_profiler.profile_in_process(str(SCRIPT), str(INT8), 1, 5, True)


def test_a_fake_runtime_can_t_be_profiled(tmp_path: Path) -> None:
    words = (INT8, *QUICK, "--runtime=tflite-runtime", "--profile")
    (result,) = document(*words, PYTHONPATH=fake_runtime(tmp_path))["results"]
    assert result["profile"]["method"] == "none"
    assert result["summary"]["n"] == 12
