"""Reading .tflite files without TensorFlow, sound ones and broken ones."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tflite_helpers import DATA, NAMES, repacked

from tfedge.errors import ArtifactError
from tfedge.tflite import values
from tfedge.tflite.reader import read


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_litert(name: str) -> None:
    path = DATA / f"{name}.tflite"
    model, interpreter = read(path), Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    for tensor in model.tensors:
        detail = details[tensor.index]
        assert tensor.name == detail["name"]
        assert np.dtype(tensor.dtype) == np.dtype(detail["dtype"])
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.shape_signature == tuple(detail["shape_signature"])
        scales = detail["quantization_parameters"]["scales"]
        assert np.allclose(tensor.quantization.scales if tensor.quantization else [], scales)
        if tensor.is_const:
            assert np.array_equal(tensor.values(), interpreter.get_tensor(tensor.index))
    assert [t.index for t in model.inputs] == [d["index"] for d in interpreter.get_input_details()]
    assert [t.index for t in model.outputs] == [
        d["index"] for d in interpreter.get_output_details()
    ]
    assert model.size == path.stat().st_size


def test_int8_file_has_no_float_and_its_pruned_kernel_is_half_zero() -> None:
    model = read(DATA / "color_int8.tflite")
    assert model.float_tensors() == []
    assert model.inputs[0].dtype == "uint8"
    assert model.inputs[0].quantization.scales == (1.0,)
    kernels = {k.tensor.split("/")[1]: k for k in model.kernels()}
    assert [k.op for k in model.kernels()] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "FULLY_CONNECTED",
    ]
    assert (kernels["point"].size, kernels["point"].zeros) == (32, 16)
    assert {name: k.zeros for name, k in kernels.items() if name != "point"} == {
        "first": 0,
        "depth": 0,
        "head": 0,
    }


@pytest.mark.parametrize("name", ["color_float", "color_int8", "color_sin", "color_half"])
def test_first_kernel_is_found_behind_its_preprocessing(name: str) -> None:
    kernels = read(DATA / f"{name}.tflite").kernels()
    assert [k.is_first for k in kernels] == [True, False, False, False]
    assert kernels[0].shape == (4, 3, 3, 3)


def test_float_op_is_named() -> None:
    found = [str(t) for t in read(DATA / "color_sin.tflite").float_tensors()]
    assert len(found) == 2
    assert all("SIN" in text and "float32" in text for text in found)


def test_float16_kernels_are_read_through_dequantize() -> None:
    kernels = read(DATA / "color_half.tflite").kernels()
    assert {k.dtype for k in kernels} == {"float16"}
    assert kernels[2].zeros == 16


def test_zero_means_the_zero_point() -> None:
    def shift(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        tensor = next(t for t in graph.tensors if t.name == b"model/point/Conv2D")
        buffer = model.buffers[tensor.buffer]
        buffer.data = (np.asarray(buffer.data, np.uint8).view(np.int8) + 3).view(np.uint8)
        tensor.quantization.zeroPoint = [3] * len(tensor.quantization.scale)

    kernel = next(k for k in read(repacked("color_int8", shift)).kernels() if "point" in k.tensor)
    assert kernel.zeros == 16


def test_open_dimension_is_seen_in_the_signature() -> None:
    def open_batch(model: schema.ModelT) -> None:
        model.subgraphs[0].tensors[0].shapeSignature = [-1, 32, 32, 3]

    assert read(repacked("color_int8", open_batch)).inputs[0].shape_signature == (-1, 32, 32, 3)


def test_packed_and_unusual_types() -> None:
    raw = np.array([0b1111_0010, 0b0000_1000], np.uint8)
    assert values.decode(raw, "int4", 3).tolist() == [2, -1, -8]
    assert values.decode(raw, "uint4", 3).tolist() == [2, 15, 8]
    assert values.decode(np.array([0b11_10_01_00], np.uint8), "int2", 4).tolist() == [0, 1, -2, -1]
    assert values.decode(np.array([0x00, 0x80, 0x80, 0x3F], np.uint8), "bfloat16", 2)[0] == 0
    assert values.storage_bits("int4") == 4
    assert values.storage_bits("string") is None
    assert {"float32", "float16", "bfloat16", "float64"} <= values.FLOATS
    assert "int8" not in values.FLOATS


def message(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        read(data)
    return caught.value.message


def test_no_tflite_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"PK\x03\x04 a zip, really")
    with pytest.raises(ArtifactError, match=r"a\.tflite: not a \.tflite file") as caught:
        read(tmp_path / "a.tflite")
    assert caught.value.exit_code == 7
    assert caught.value.hint
    assert "3 bytes" in message(b"abc")
    with pytest.raises(ArtifactError, match="can't be read"):
        read(tmp_path / "missing.tflite")


IN_LITTLE_MEMORY = """
import resource, sys
from tfedge.errors import ArtifactError
from tfedge.tflite.reader import read
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
for path in sys.argv[1:]:
    try:
        read(path)
    except ArtifactError as error:
        print(error.message)
"""


def test_a_file_of_a_terabyte(tmp_path: Path) -> None:
    for name, start in ("zip", b"PK\x03\x04"), ("model", b"\0\0\0\0TFL3"):
        with (tmp_path / name).open("wb") as file:
            file.write(start)
            file.truncate(2**40)  # sparse
    ran = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, tmp_path / "zip", tmp_path / "model"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, second = ran.stdout.splitlines()
    assert "not a .tflite file" in first
    assert f"has {2**40:,} bytes, more than" in second


@pytest.mark.parametrize("name", ["color_int8", "color_float"])
def test_every_cut_is_an_error_or_only_lost_padding(name: str) -> None:
    data = (DATA / f"{name}.tflite").read_bytes()
    refused = 0
    for end in range(0, len(data) - 16, 7):
        try:
            read(data[:end])
        except ArtifactError:
            refused += 1
    assert refused > 0.95 * len(range(0, len(data) - 16, 7))


def test_random_damage_never_crashes() -> None:
    whole = (DATA / "color_int8.tflite").read_bytes()
    rng = np.random.default_rng(5)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(8, len(data) - 4))
            struct.pack_into(
                "<I", data, at, int(rng.integers(0, 2**32)) >> int(rng.integers(0, 32))
            )
        try:
            model = read(bytes(data))
            model.kernels()
            model.float_tensors()
            outcomes["read"] += 1
        except ArtifactError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        (
            "tensor type",
            lambda m: setattr(m.subgraphs[0].tensors[3], "type", 99),
            "unknown type 99",
        ),
        (
            "shape",
            lambda m: setattr(m.subgraphs[0].tensors[3], "shape", [-4]),
            "has the shape",
        ),
        (
            "short buffer",
            lambda m: setattr(m.buffers[m.subgraphs[0].tensors[9].buffer], "data", [1, 2]),
            "bytes and has 2",
        ),
        (
            "op input",
            lambda m: setattr(m.subgraphs[0].operators[3], "inputs", [77, 1]),
            "tensor 77",
        ),
        ("op output", lambda m: setattr(m.subgraphs[0].operators[3], "outputs", [-1]), "tensor -1"),
        ("op code", lambda m: setattr(m.subgraphs[0].operators[3], "opcodeIndex", 50), "code 50"),
        ("graph input", lambda m: setattr(m.subgraphs[0], "inputs", [1000]), "tensor 1000"),
        ("buffer", lambda m: setattr(m.subgraphs[0].tensors[3], "buffer", 500), "buffer 500"),
        ("no graph", lambda m: setattr(m, "subgraphs", []), "no subgraph"),
        (
            "scales",
            lambda m: setattr(m.subgraphs[0].tensors[9].quantization, "scale", [0.1, 0.2]),
            "scales",
        ),
        ("builtin", lambda m: setattr(m.operatorCodes[0], "builtinCode", 9999), "code 9999"),
    ],
)
def test_what_does_not_hold_is_named(where: str, change, said: str) -> None:
    assert said in message(repacked("color_int8", change)), where


def test_signatures_options_and_metadata() -> None:
    model = read(DATA / "color_int8.tflite")
    (signature,) = model.signatures
    assert signature.key == "serving_default"
    assert [name for name, _ in signature.inputs] == ["pixels"]
    assert [index for _, index in signature.inputs] == list(model.graphs[0].inputs)
    assert model.metadata["min_runtime_version"].rstrip(b"\0") == b"1.14.0"
    conv, depth = (
        next(op for op in model.ops if op.name == name) for name in ("CONV_2D", "DEPTHWISE_CONV_2D")
    )
    assert (conv.option("stride_w"), conv.option("dilation_w_factor")) == (2, 1)
    assert depth.option("depth_multiplier") == 1
    assert conv.option("no_such_option", 7) == 7


def test_a_signature_that_names_what_is_not_there() -> None:
    def far(model: schema.ModelT) -> None:
        model.signatureDefs[0].inputs[0].tensorIndex = 77

    assert "names tensor 77" in message(repacked("color_int8", far))

    def gone(model: schema.ModelT) -> None:
        model.signatureDefs[0].subgraphIndex = 3

    assert "subgraph 3 of 1" in message(repacked("color_int8", gone))


def test_metadata_in_a_buffer_that_is_not_there() -> None:
    assert "buffer 500" in message(
        repacked("color_int8", lambda m: setattr(m.metadata[0], "buffer", 500))
    )


def test_a_bias_whose_axis_is_that_of_its_kernel_is_read() -> None:
    """Older converters wrote the kernel's axis, and every runtime takes it."""

    def older(model: schema.ModelT) -> None:
        for tensor in model.subgraphs[0].tensors:
            if len(tensor.shape) == 1 and tensor.quantization:
                tensor.quantization.quantizedDimension = 3

    model = read(repacked("color_int8", older))
    biases = [t for t in model.tensors if t.dtype == "int32" and t.quantization]
    assert any(t.quantization.axis == 0 for t in biases)


def test_a_cycle_is_refused() -> None:
    def knot(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        conv = graph.operators[12]
        dequantize = next(op for op in graph.operators if op.outputs[0] == conv.inputs[1])
        dequantize.inputs = dequantize.outputs

    assert "which nothing has computed" in message(repacked("color_half", knot))
