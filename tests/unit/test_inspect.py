"""``tfedge inspect``: what it finds, prints and refuses."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema
from test_tflite_darwinn import WHOLE, compiled_model
from tflite_helpers import DATA, NAMES, repacked

from tfedge import cli
from tfedge.edgetpu import inspect as inspecting
from tfedge.errors import ArtifactError
from tfedge.files.text import WIDTH
from tfedge.report.inspect import count_text, text

INT8 = DATA / "color_int8.tflite"


def inspect(path: Path) -> dict[str, Any]:
    return inspecting.inspect(path).to_json()


def describe(data: bytes) -> dict[str, Any]:
    return inspecting.describe(data).to_json()


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return inspect(INT8)


def test_graph_and_runtime(facts: dict[str, Any]) -> None:
    assert facts["schema"] == "tfedge.inspect/1"
    assert facts["bytes"] == INT8.stat().st_size
    assert facts["graphs"] == [{"name": "main", "tensors": 22, "ops": len(facts["ops"])}]
    assert facts["minimum_runtime"] == "1.14.0"
    assert facts["macs"] == sum(op["macs"] for op in facts["ops"]) == 32_024
    assert facts["float_tensors"] == 0
    assert facts["arena_bytes"] > 32 * 32 * 3
    assert 0 < facts["constant_bytes"] < facts["bytes"]
    assert facts["metadata"][0] == "min_runtime_version"
    assert facts["associated_files"] == []
    (signature,) = facts["signatures"]
    assert signature["inputs"] == {"pixels": facts["inputs"][0]["name"]}


def test_ops_with_versions_and_options(facts: dict[str, Any]) -> None:
    first = next(op for op in facts["ops"] if op["op"] == "CONV_2D")
    assert (first["version"], first["minimum_runtime"]) == (3, "1.14.0")
    assert first["macs"] == 16 * 16 * 4 * 27
    assert first["options"]["stride_w"] == 2
    row = next(row for row in facts["op_types"] if row["op"] == "CONV_2D")
    assert (row["count"], row["version"]) == (2, 3)
    assert sum(row["count"] for row in facts["op_types"]) == len(facts["ops"])


def test_tensors_with_their_quantization(facts: dict[str, Any]) -> None:
    (pixels,) = facts["inputs"]
    assert (pixels["dtype"], pixels["shape"]) == ("uint8", [1, 32, 32, 3])
    assert pixels["quantization"] == {
        "per_channel": False,
        "axis": None,
        "scales": [1.0],
        "zero_points": [0],
    }
    kernel = next(t for t in facts["tensors"] if t["name"].endswith("first/Conv2D"))
    assert kernel["constant"] and kernel["bytes"] == 4 * 27
    assert kernel["quantization"]["per_channel"] and kernel["quantization"]["axis"] == 0
    assert len(kernel["quantization"]["scales"]) == len(kernel["quantization"]["zero_points"]) == 4


def test_zeros_of_kernels(facts: dict[str, Any]) -> None:
    zeros = {kernel["tensor"].split("/")[1]: kernel["zeros"] for kernel in facts["kernels"]}
    assert zeros == {"first": 0, "depth": 0, "point": 16, "head": 0}
    assert facts["kernel_zeros"] == 16
    assert all(kernel["per_channel"] for kernel in facts["kernels"])


def test_edge_tpu(facts: dict[str, Any]) -> None:
    found = facts["edgetpu"]
    assert found["compiled"] is False
    assert found["mapped"] == found["total"] == len(found["ops"]) == len(facts["ops"])
    assert found["subgraphs"] == 1
    assert set(found["ops"][0]) == {"index", "op", "target", "status", "reason"}
    assert {op["target"] for op in found["ops"]} == {"tpu"}
    sin = inspect(DATA / "color_sin.tflite")["edgetpu"]
    assert sin["mapped"] < sin["total"]
    assert all(bool(op["reason"]) == (op["target"] == "cpu") for op in sin["ops"])


def test_files_behind_the_model_and_what_only_looks_like_them() -> None:
    whole = io.BytesIO(INT8.read_bytes())
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("labels.txt", "red\ngreen\nblue\n")
    assert describe(whole.getvalue())["associated_files"] == ["labels.txt"]
    assert "labels.txt (file)" in text(describe(whole.getvalue()))
    assert describe(whole.getvalue()[:-1])["associated_files"] == []


def test_a_runtime_that_is_not_known_is_not_invented() -> None:
    def newer(model: schema.ModelT) -> None:
        model.operatorCodes[0].version = 99

    facts = describe(repacked("color_int8", newer))
    assert facts["minimum_runtime"] is None
    op = facts["ops"][0]["op"]
    assert f"a runtime that knows {op} version 99" in text(facts)


@pytest.mark.parametrize("name", NAMES)
def test_text_is_made_for_a_terminal(name: str) -> None:
    facts = inspect(DATA / f"{name}.tflite")
    lines = text(facts).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith(f"{name}.tflite")
    for row in facts["op_types"]:
        assert any(line.startswith(row["op"]) for line in lines), row["op"]


def test_text_tells_what_matters() -> None:
    told = text(inspect(DATA / "color_sin.tflite"))
    for part in (
        "TensorFlow Lite 1.14.0 or later",
        "32.0 k multiply-accumulates",
        "uint8 1×32×32×3, scale 1, zero point 0",
        "int8, per channel   50.0 %",
        "Edge TPU, predicted: 6 of 13 ops (46.2 %), 1 subgraph",
        "7  SIN: operation not supported",
        "op 7 SIN keeps 4 ops behind it",
    ):
        assert part in told, part
    compiled = text(describe(compiled_model(WHOLE)))
    assert (
        "Edge TPU: compiled, 1 subgraph, 1 ops are left to the CPU; Edge TPU runtime 14" in compiled
    )
    assert "0.3 kB are sent in every inference" in compiled


def test_names_can_not_speak_to_the_terminal() -> None:
    def shout(model: schema.ModelT) -> None:
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b"\x1b[2J\x07" + b"n" * 300 + b"\r\nmapped: all"

    told = text(describe(repacked("color_int8", shout)))
    assert not set("\x1b\x07\r") & set(told)
    assert not any(line.startswith("mapped: all") for line in told.splitlines())
    assert max(map(len, told.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (999, "999"), (32_024, "32.0 k"), (300_775_552, "300.8 M")]
)
def test_counts(number: int, said: str) -> None:
    assert count_text(number) == said


def test_command_prints_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(INT8)]) == 0
    assert "Edge TPU, predicted" in capsys.readouterr().out
    assert cli.main(["inspect", str(INT8), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == inspect(INT8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(INT8.read_bytes()[:2000]), "broken .tflite"),
        (lambda path: path.write_bytes(b"PK\x03\x04 a zip, really"), "not a .tflite file"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: None, "can't be read"),
    ],
    ids=["cut", "zip", "empty", "folder", "missing"],
)
def test_command_refuses(
    make: Callable[[Path], object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.tflite"
    make(path)
    assert cli.main(["inspect", str(path)]) == ArtifactError.exit_code == 7
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err and "Traceback" not in printed.err


def test_needs_no_runtime_and_no_tensorflow() -> None:
    script = (
        "import sys; from tfedge.cli import main; main(sys.argv[1:]); "
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'tf_keras', 'keras') "
        "or m.endswith('.interpreter')], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, "inspect", str(INT8), "--json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stderr.strip() == "[]"
    assert json.loads(ran.stdout)["file"] == INT8.name
