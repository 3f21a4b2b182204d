"""Ops in the form that LiteRT runs fastest: the same numbers, run by LiteRT itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.unit.tflite_helpers import DATA, one_op
from tfedge.errors import UnsupportedModel
from tfedge.tflite.editing import Editor
from tfedge.tflite.kernels import (
    with_constant_kernels,
    with_fast_kernels,
    with_float_input,
    with_integer_input,
)
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import BuiltinLiteRT, LiteRT

EVERY = np.arange(-128, 128, dtype=np.int8).reshape(1, 4, 8, 8)
SIDE, CHANNELS = 12, 5


def relu(name: str, given: tuple[float, int], made: tuple[float, int]) -> bytes:
    def quantized(model: Any) -> None:
        for tensor, (scale, zero) in zip(model.subgraphs[0].tensors, (given, made), strict=True):
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]

    def change(model: Any) -> None:
        quantized(model)
        model.operatorCodes[0].version = 2

    return one_op(name, [(EVERY.shape, "int8", None)], [(EVERY.shape, "int8", None)], None, change)


def depthwise(taps: int, dtype: str = "int8") -> bytes:
    rng = np.random.default_rng(0)
    kernel = rng.integers(-127, 128, (1, taps, taps, CHANNELS))
    options = schema.DepthwiseConv2DOptionsT()
    options.strideH = options.strideW = options.depthMultiplier = 1
    options.dilationHFactor = options.dilationWFactor = 1

    def change(model: Any) -> None:
        model.operatorCodes[0].version = 3
        _, weights, bias, made = model.subgraphs[0].tensors
        if dtype == "float32":
            return
        scales = np.linspace(0.001, 0.004, CHANNELS, dtype=np.float32)
        for tensor, axis, values in ((weights, 3, scales), (bias, 0, scales * 0.5)):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(value) for value in values]
            tensor.quantization.zeroPoint = [0] * CHANNELS
            tensor.quantization.quantizedDimension = axis
        made.quantization.zeroPoint = [3]

    shape = (1, SIDE, SIDE, CHANNELS)
    parts = [
        (shape, dtype, None),
        (kernel.shape, dtype, kernel),
        (
            (CHANNELS,),
            "float32" if dtype == "float32" else "int32",
            rng.integers(-99, 99, CHANNELS),
        ),
    ]
    return one_op("DEPTHWISE_CONV_2D", parts, [(shape, dtype, None)], options, change)


def ops(content: bytes) -> list[str]:
    return [op.name for op in read(content).ops]


@pytest.mark.parametrize("name", ["RELU", "RELU6"])
@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((0.05, 0), (0.05, 0)),
        ((0.05, 0), (0.025, -128)),
        ((0.031, 17), (0.023, -128)),
        ((0.11, -40), (0.047, -128)),
        ((0.02, 100), (0.003, -128)),
    ],
)
def test_a_relu_becomes_a_product_that_gives_the_same_bytes(
    name: str, given: tuple[float, int], made: tuple[float, int]
) -> None:
    before = relu(name, given, made)
    after = with_fast_kernels(before)
    assert (ops(before), ops(after)) == ([name], ["MUL"])
    (wanted,) = LiteRT(before).invoke(EVERY)
    assert len(np.unique(wanted)) > 10
    assert np.array_equal(LiteRT(after).invoke(EVERY)[0], wanted)
    # LiteRT's own MUL rounds the factor to 31 bits: what lies half way may fall to either side.
    (got,) = BuiltinLiteRT(after).invoke(EVERY)
    assert np.abs(got.astype(int) - wanted).max() <= 1


def test_an_op_code_of_an_earlier_version_is_not_taken() -> None:
    def older(model: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MUL
        code.version = 1  # has no 8 bits
        model.operatorCodes.append(code)

    part = [(EVERY.shape, "int8", None)]
    (op,) = read(with_fast_kernels(one_op("RELU", part, part, None, older))).ops
    assert (op.name, op.version) == ("MUL", 2)


def test_a_wide_depthwise_kernel_is_left_to_litert_and_becomes_constant_again() -> None:
    before = depthwise(7)
    after = with_fast_kernels(before)
    assert ops(after) == ["RESHAPE", "DEPTHWISE_CONV_2D"]
    image = np.random.default_rng(1).integers(-128, 128, (1, SIDE, SIDE, CHANNELS), np.int8)
    wanted = BuiltinLiteRT(before).invoke(image)[0]
    assert len(np.unique(wanted)) > 100
    # XNNPACK rounds otherwise; that its result is the builtin's tells who ran it.
    assert np.array_equal(LiteRT(after).invoke(image)[0], wanted)
    assert [(k.op, k.size, k.per_channel) for k in read(after).kernels()] == [
        ("DEPTHWISE_CONV_2D", 49 * CHANNELS, True)
    ]
    back = with_constant_kernels(after)
    assert ops(back) == ["DEPTHWISE_CONV_2D"]
    assert np.array_equal(LiteRT(back).invoke(image)[0], LiteRT(before).invoke(image)[0])


@pytest.mark.parametrize(
    "content",
    [depthwise(5), depthwise(7, "float32"), (DATA / "color_int8.tflite").read_bytes()],
    ids=["5x5", "float", "no such op"],
)
def test_what_is_fast_already_stays_as_it_is(content: bytes) -> None:
    assert with_fast_kernels(content) is content
    assert with_constant_kernels(content) is content


PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 4, 8, 8)
DIGITS = (DATA / "digits_int8.tflite").read_bytes()


def shift(scales: tuple[float, float] = (1.0, 1.0), zeros: tuple[int, int] = (0, -128)) -> bytes:
    """A file that makes int8 of uint8, and nothing else."""

    def change(model: Any) -> None:
        for tensor, scale, zero in zip(model.subgraphs[0].tensors, scales, zeros, strict=True):
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([zero], np.int64)

    parts = ([(PIXELS.shape, "uint8", None)], [(PIXELS.shape, "int8", None)])
    return one_op("QUANTIZE", *parts, schema.QuantizeOptionsT(), change)


@pytest.mark.parametrize("scale", [1.0, np.nextafter(np.float32(1), np.float32(0))])
def test_every_pixel_becomes_the_same_number_by_way_of_float(scale: float) -> None:
    before = shift((scale, scale))
    after = with_float_input(before)
    assert (ops(before), ops(after)) == (["QUANTIZE"], ["DEQUANTIZE", "QUANTIZE"])
    wanted = (PIXELS.astype(int) - 128).astype(np.int8)
    for runtime in (LiteRT, BuiltinLiteRT):
        for content in (before, after):
            assert np.array_equal(runtime(content).invoke(PIXELS)[0], wanted)
    back = with_integer_input(after)
    assert (read(back).ops, read(back).tensors) == (read(before).ops, read(before).tensors)
    assert len(back) <= len(before)


def test_a_net_answers_the_same_by_way_of_float_and_its_first_op_is_xnnpacks() -> None:
    after = with_float_input(DIGITS)
    (port,) = LiteRT(DIGITS).inputs()
    rng = np.random.default_rng(1)
    for _ in range(20):
        pixels = rng.integers(0, 256, port.shape, np.uint8)
        assert np.array_equal(LiteRT(after).invoke(pixels), LiteRT(DIGITS).invoke(pixels))
    (tensor,) = read(after).float_tensors()
    assert str(tensor).endswith("(float32; ops: 0 DEQUANTIZE, 1 QUANTIZE)")
    assert ops(with_integer_input(after)) == ops(DIGITS)
    assert with_integer_input(DIGITS) is DIGITS


def second_reader(content: bytes) -> bytes:
    """Another op reads the pixels, too."""
    editor = Editor(content)
    graph = editor.graph
    made = editor.computed("too", PIXELS.shape, schema.TensorType.UINT8)
    graph.tensors[made].quantization = graph.tensors[graph.inputs[0]].quantization
    options = schema.QuantizeOptionsT()
    op = editor.op(schema.BuiltinOperator.QUANTIZE, 1, graph.inputs, [made], options)
    graph.operators.append(op)
    return editor.content()


@pytest.mark.parametrize(
    ("content", "read_by"),
    [
        (shift((1.0, 0.5)), "QUANTIZE"),
        (shift(zeros=(0, -127)), "QUANTIZE"),
        (second_reader(shift()), "QUANTIZE, QUANTIZE"),
        ((DATA / "color_float.tflite").read_bytes(), "CAST"),
        (with_float_input(DIGITS), "DEQUANTIZE"),
    ],
    ids=["other scales", "other zero points", "read twice", "float", "done already"],
)
def test_another_input_is_refused_and_stays_as_it_is(content: bytes, read_by: str) -> None:
    with pytest.raises(UnsupportedModel, match=f"it is read by: {read_by}$"):
        with_float_input(content)
    if read_by != "DEQUANTIZE":
        assert with_integer_input(content) is content
