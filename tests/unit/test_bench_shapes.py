"""In which shape a model is timed: it is told, an open one has to be given, and a batch of eight is
not a batch of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from color_helpers import FLOAT, INT8
from script_helpers import run
from test_bench_results import result, steady
from tflite_helpers import packed, repacked, schema

from tfedge import cli
from tfedge.benchmark.compare import compare
from tfedge.benchmark.result import Result
from tfedge.benchmark.script.problem import Problem
from tfedge.benchmark.script.shapes import Port, delegated, open_shape, parsed, sized
from tfedge.devices import benchmark_model
from tfedge.devices.shapes import timed_inputs
from tfedge.errors import ConfigError, TfedgeError

QUICK = ("--runs=10", "--warmup=1", "--processes=2")
NAME = "serving_default_pixels:0"


def opened(path: Path, *signature: int) -> Path:
    """A convolution whose input the file leaves open, as Keras' models often have it."""
    model = schema.ModelT.InitFromPackedBuf(FLOAT.read_bytes(), 0)
    graph = model.subgraphs[0]
    graph.operators = graph.operators[:2]
    graph.outputs = [int(graph.operators[-1].outputs[0])]
    graph.tensors[graph.inputs[0]].shape = [max(side, 1) for side in signature]
    graph.tensors[graph.inputs[0]].shapeSignature = list(signature)
    model.signatureDefs = []
    path.write_bytes(packed(model))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return opened(tmp_path / "open.tflite", 1, -1, -1, 3)


def bench(tmp_path: Path, *arguments: object) -> tuple[int, Any]:
    file = tmp_path / "bench.json"
    code = cli.main(["bench", *map(str, arguments), *QUICK, f"--json={file}"])
    return code, json.loads(file.read_text()) if file.exists() else None


def test_an_open_input_is_not_timed_at_one_pixel(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = bench(tmp_path, model)
    said = capsys.readouterr().err
    assert (code, found) == (2, None)
    assert f"the input {NAME} is open: 1x?x?x3" in said
    assert "hint: say which with --shape, such as --shape 1x224x224x3" in said
    done = run(model, "--runs=10")
    assert done.returncode == 2
    assert f"error: the input {NAME} is open: 1x?x?x3" in done.stderr
    assert "hint: say which with --shape" in done.stderr


@pytest.mark.parametrize("given", ["1x64x64x3", f"{NAME}=1x64x64x3"])
def test_the_shape_that_is_given_is_timed_and_told(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    code, found = bench(tmp_path, model, "--shape", given)
    assert code == 0
    assert [one["shapes"] for one in found["results"]] == [[[1, 64, 64, 3]]]
    assert "1×64×64×3" in capsys.readouterr().out
    assert Result.from_json(found["results"][0] | {"host": found["device"]}).shapes == (
        (1, 64, 64, 3),
    )
    done = run(model, "--runs=10", "--shape", given, "--json=-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["shapes"] == [[1, 64, 64, 3]]
    assert "input 1x64x64x3" in done.stderr


def test_a_larger_shape_takes_longer(model: Path, tmp_path: Path) -> None:
    medians = []
    for side in (8, 256):
        _, found = bench(tmp_path, model, f"--shape=1x{side}x{side}x3")
        medians.append(found["results"][0]["summary"]["low"])
    assert medians[1] > 20 * medians[0]


def test_a_profile_is_of_the_same_shape(model: Path, tmp_path: Path) -> None:
    _, found = bench(tmp_path, model, "--shape=1x256x256x3", "--profile")
    (one,) = found["results"]
    assert one["profile"]["method"] == "graph-cut"
    total = sum(row["ns"] for row in one["profile"]["types"])
    assert 0.2 * one["summary"]["low"] < total


def test_an_open_batch_is_open_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = opened(tmp_path / "batch.tflite", -1, 32, 32, 3)
    assert bench(tmp_path, model)[0] == 2
    assert "--shape 1x32x32x3" in capsys.readouterr().err
    one, eight = (bench(tmp_path, model, f"--shape={n}x32x32x3")[1] for n in (1, 8))
    assert [found["results"][0]["shapes"][0][0] for found in (one, eight)] == [1, 8]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1x64x64", "--shape 1x64x64: the input"),
        ("1x64x64x4", "--shape 1x64x64x4: the input"),
        ("64", "--shape 64: the input"),
        ("1,2", "not 1x224x224x3"),
        ("axb", "--shape axb: not 1x224x224x3"),
        ("1x0x2x3", "not 1x224x224x3"),
        ("-1x2x2x3", "not 1x224x224x3"),
        ("pixels=1x64x64x3", "no input is called pixels; there are: serving_default_pixels:0"),
    ],
)
def test_a_shape_that_can_t_be_is_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    assert bench(tmp_path, model, f"--shape={given}")[0] == 2
    assert said in capsys.readouterr().err
    done = run(model, f"--shape={given}")
    assert done.returncode == 2 and said in done.stderr


def test_what_the_file_fixes_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(tmp_path, INT8, "--shape=8x32x32x3")[0] == 2
    assert f"--shape 8x32x32x3: the input {NAME} is 1x32x32x3" in capsys.readouterr().err
    assert bench(tmp_path, INT8, "--shape=1x32x32x3")[0] == 0


def test_several_inputs_by_name() -> None:
    ports = [Port("ids", [-1, 128]), Port("mask", [1, -1])]
    assert sized(ports, "mask=1x7,ids=2x128") == [[2, 128], [1, 7]]
    for text, said in (("1x7", "of which input"), ("ids=1x128", "the input mask is open: 1x?")):
        with pytest.raises(Problem, match=said):
            sized(ports, text)
    assert parsed("a=b=1x2,3") == {"a=b": [1, 2], None: [3]}
    with pytest.raises(Problem, match="not 1x224"):
        parsed("a=1,a=2")


def test_a_side_of_nothing_is_open() -> None:
    assert open_shape({"shape": [1, 0, 3], "shape_signature": [1, 0, 3]}) == [1, -1, 3]
    assert open_shape({"shape": [1, 3]}) == [1, 3], "an old runtime tells no signature"
    assert open_shape({"shape": [1, 3], "shape_signature": []}) == [1, 3]


def test_another_shape_is_no_equal_measurement() -> None:
    one = result(steady(1000, 1), shapes=((1, 32, 32, 3),))
    eight = result(steady(7000, 2), shapes=((8, 32, 32, 3),))
    with pytest.raises(TfedgeError, match="differ in shape"):
        compare(one, eight)
    assert "differing in shape" in str(compare(one, eight, ("shape",)))


def test_models_of_two_batches_are_not_compared_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def eight(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            if model.buffers[tensor.buffer].data is None and tensor.shape[0] == 1:
                tensor.shape = [8, *tensor.shape[1:]]
                tensor.shapeSignature = None

    (tmp_path / "eight.tflite").write_bytes(repacked("color_float", eight))
    code, found = bench(tmp_path, FLOAT, tmp_path / "eight.tflite", "--compare")
    assert code == 0
    assert [one["shapes"][0][0] for one in found["results"]] == [1, 8]
    assert found["comparisons"][0]["differing"] == ["shape"]
    assert "differing in shape" in " ".join(capsys.readouterr().out.split())


def test_benchmark_model_is_told_all_shapes(model: Path) -> None:
    inputs = timed_inputs(model, "1x5x6x3")
    work = benchmark_model.Work("m", model, inputs=inputs)
    words = benchmark_model.command("tool", "model", work)
    assert {f"--input_layer={NAME}", "--input_layer_shape=1,5,6,3"} <= set(words)
    fixed = benchmark_model.Work("m", INT8, inputs=timed_inputs(INT8, ""))
    assert not [w for w in benchmark_model.command("tool", "model", fixed) if "input_layer" in w]
    with pytest.raises(ConfigError, match="is open"):
        timed_inputs(model, "")


# --- how much a delegate takes ---


def test_how_much_a_delegate_took_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = bench(tmp_path, INT8, "--delegate=xnnpack", "--delegate=none")
    assert [one["delegated"] for one in found["results"]] == ["7 of 10 nodes", None]
    assert "7 of 10" in capsys.readouterr().out
    assert "delegate takes 7 of 10 nodes" in run(INT8, "--runs=10").stdout


def node(index: int, name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}


class Nodes:
    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes = nodes

    def _get_ops_details(self) -> tuple[dict[str, Any], ...]:
        return self.nodes


CHAIN = tuple(node(n, "ADD", [n, 100 + n], [n + 1]) for n in range(6))  # 100 …: constants


@pytest.mark.parametrize(
    ("delegates", "told"),
    [
        ((), "0 of 6 nodes"),
        ((node(6, "DELEGATE", [0, *range(100, 106)], [6]),), "6 of 6 nodes"),
        ((node(6, "DELEGATE", [1, 101, 102], [3]),), "2 of 6 nodes"),
        (
            (node(6, "DELEGATE", [0, 100], [1]), node(7, "DELEGATE", [3, 103, 104], [5])),
            "3 of 6 nodes",
        ),
    ],
)
def test_nodes_between_a_delegate_s_inputs_and_outputs_are_its_own(
    delegates: tuple[dict[str, Any], ...], told: str
) -> None:
    assert delegated(Nodes(*CHAIN, *delegates)) == told
    assert delegated(object()) is None
