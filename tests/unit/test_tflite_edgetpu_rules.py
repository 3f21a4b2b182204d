"""Rules for single ops. Shapes marked as measured are those of pairs that were looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_helpers import Net

from tfedge import catalog
from tfedge.edgetpu.edgetpu_rules import DATA_TYPE, LIMIT, RANK, UNSUPPORTED, VERSION, judge
from tfedge.tflite.versions import as_numbers, minimum_runtime

TABLE = json.loads(Path(catalog.__file__).with_name("edgetpu_ops.json").read_text("utf-8"))


def status(
    op: str, given: Sequence[Sequence[int]], made: Sequence[int], *settings: object, **options: int
) -> str:
    """The verdict on one int8 op; ``settings`` are constant int32 inputs behind the data."""
    net = Net()
    inputs = [net.input(shape) for shape in given]
    for setting in settings:
        shape = () if isinstance(setting, int) else _shape(setting)
        inputs.append(net.tensor(shape, "int32", values=setting))
    if op == "SPLIT":
        inputs.reverse()
    version = options.pop("version", 1)
    net.op(op, inputs, made, version=version, **options)
    verdict = judge(net.ops[0], net.tensors)
    return verdict.status if verdict else ""


def _shape(values: object) -> tuple[int, ...]:
    assert isinstance(values, list)
    return (len(values), *(_shape(values[0]) if isinstance(values[0], list) else ()))


def same(op: str, *shape: int) -> str:
    return status(op, [shape], shape)


@pytest.mark.parametrize(
    ("given", "made", "mapped"),
    [
        ((1, 20, 20, 144), (1, 144, 20, 20), True),
        ((1, 22, 22, 144), (1, 144, 22, 22), True),
        ((1, 20, 20, 256), (1, 256, 20, 20), False),
        ((1, 28, 28, 144), (1, 144, 28, 28), False),
        ((1, 30, 30, 90), (1, 90, 30, 30), False),
        ((1, 40, 40, 68), (1, 68, 40, 40), False),
        ((1, 4, 16, 2100), (1, 16, 4, 2100), False),
        ((1, 49, 4, 128), (1, 4, 49, 128), True),
    ],
)
def test_transpose_as_measured(given: tuple[int, ...], made: tuple[int, ...], mapped: bool) -> None:
    assert (status("TRANSPOSE", [given], made, [0, 3, 1, 2]) == "") is mapped


@pytest.mark.parametrize(
    ("given", "made", "mapped"),
    [
        ((1, 144, 22, 22), (1, 144, 484), True),
        ((1, 64, 2100), (1, 4, 16, 2100), True),
        ((1, 144, 40, 40), (1, 144, 1600), False),
        ((1, 64, 8400), (1, 4, 16, 8400), False),
        ((1, 118, 100, 8), (1, 94400), True),  # into a vector: nothing moves
        ((1, 7, 7, 512), (1, 49, 512), True),
        ((1, 19, 19, 273), (1, 1083, 91), True),
    ],
)
def test_reshape_as_measured(given: tuple[int, ...], made: tuple[int, ...], mapped: bool) -> None:
    assert (status("RESHAPE", [given], made, list(made)) == "") is mapped


@pytest.mark.parametrize(
    ("op", "shape", "mapped"),
    [
        ("LOGISTIC", (1, 80, 2100), True),
        ("LOGISTIC", (1, 80, 8400), False),
        ("LOGISTIC", (1, 1917, 91), True),
        ("LOGISTIC", (1, 160, 160, 32), True),
        ("QUANTIZE", (1, 80, 8400), False),
        ("QUANTIZE", (1, 353, 481, 3), True),
        ("PRELU", (1, 384, 384, 64), True),
        ("TANH", (1, 384, 384, 3), True),
        ("SOFTMAX", (1, 4, 8400, 16), True),
        ("SOFTMAX", (1, 16384), True),
        ("SOFTMAX", (1, 100_000), False),
    ],
)
def test_what_works_row_by_row_as_measured(op: str, shape: tuple[int, ...], mapped: bool) -> None:
    assert (same(op, *shape) == "") is mapped


@pytest.mark.parametrize(
    ("parts", "made", "axis", "mapped"),
    [
        ([(1, 80, 80, 64), (1, 80, 80, 128)], (1, 80, 80, 192), 3, True),
        ([(1, 144, 1600), (1, 144, 400), (1, 144, 100)], (1, 144, 2100), 2, False),
        ([(1, 2, 2100), (1, 2, 2100), (1, 80, 2100)], (1, 84, 2100), 1, True),
        ([(1, 2, 8400), (1, 2, 8400), (1, 80, 8400)], (1, 84, 8400), 1, False),
    ],
)
def test_concatenation_as_measured(
    parts: list[tuple[int, ...]], made: tuple[int, ...], axis: int, mapped: bool
) -> None:
    assert (status("CONCATENATION", parts, made, axis=axis) == "") is mapped


@pytest.mark.parametrize("op", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
@pytest.mark.parametrize(
    ("given", "made", "mapped"),
    [
        ((1, 6, 6, 64), (1, 12, 12, 64), True),
        ((1, 24, 24, 24), (1, 48, 48, 24), True),
        ((1, 33, 33, 19), (1, 33, 33, 19), True),
        ((1, 40, 40, 128), (1, 80, 80, 128), True),
        ((1, 64, 64, 32), (1, 128, 128, 32), True),
        ((1, 256, 256, 32), (1, 512, 512, 32), False),
        ((1, 33, 33, 19), (1, 513, 513, 19), False),
        ((1, 1, 1, 256), (1, 33, 33, 256), False),
    ],
)
def test_resize_as_measured(
    op: str, given: tuple[int, ...], made: tuple[int, ...], mapped: bool
) -> None:
    assert (status(op, [given], made, list(made[1:3])) == "") is mapped


@pytest.mark.parametrize(("version", "said"), [(1, ""), (2, ""), (3, ""), (4, VERSION)])
def test_the_newest_resize_that_is_mapped(version: int, said: str) -> None:
    """A detector's is of version 3, which compilers before 16.0 do not know."""
    resize = "RESIZE_NEAREST_NEIGHBOR", [(1, 8, 8, 96)], (1, 16, 16, 96), [16, 16]
    assert status(*resize, version=version) == said


def test_only_three_dimensions_may_be_above_one() -> None:
    assert same("RELU", 1, 1, 2, 3, 4) == ""
    assert same("RELU", 2, 2, 3, 4) == RANK
    assert status("RESHAPE", [(1, 96, 96, 256)], (1, 96, 96, 2, 128), [1]) == RANK  # measured


@pytest.mark.parametrize(("axis", "expected"), [(0, LIMIT), (-3, LIMIT), (1, ""), (-1, "")])
def test_split_leaves_the_first_dimension_alone(axis: int, expected: str) -> None:
    # measured: [4, 49, 49] along 0 stays on the CPU, [1, 8, 8, 6] along 3 does not
    assert status("SPLIT", [(4, 48, 48)], (4, 48, 24), axis) == expected


@pytest.mark.parametrize("op", ["MEAN", "SUM", "REDUCE_MAX"])
def test_reductions_leave_the_first_dimension_alone(op: str) -> None:
    assert status(op, [(1, 7, 7, 1280)], (1, 1280), [1, 2]) == ""
    assert status(op, [(1, 49, 512)], (1, 49, 1), [2]) == ""
    assert status(op, [(4, 7, 16)], (7, 16), [0]) == LIMIT


def test_mean_over_a_whole_image() -> None:
    assert status("MEAN", [(1, 64, 128, 3)], (1, 3), [1, 2]) == ""
    assert status("MEAN", [(1, 256, 128, 3)], (1, 3), [1, 2]) == LIMIT


def test_strided_slice_takes_every_element() -> None:
    def slice_(stride: int, **masks: int) -> str:
        begin = [0, 0, 0, 0]
        strides = [1, stride, 1, 1]
        return status("STRIDED_SLICE", [(1, 8, 8, 4)], (1, 4, 8, 4), begin, begin, strides, **masks)

    assert slice_(1) == ""
    assert slice_(2) == slice_(1, ellipsis_mask=1) == slice_(1, new_axis_mask=2) == LIMIT


def test_padding_of_the_batch() -> None:
    rows = [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert status("PAD", [(1, 8, 8, 4)], (1, 10, 10, 4), rows) == ""
    assert status("PAD", [(1, 8, 8, 4)], (1, 10, 10, 4), [[0, 1], *rows[1:]]) == LIMIT


@pytest.mark.parametrize("op", ["MAX_POOL_2D", "AVERAGE_POOL_2D", "CONCATENATION"])
def test_fused_activations(op: str) -> None:
    assert status(op, [(1, 8, 8, 4)], (1, 8, 8, 4), fused_activation_function=1) == LIMIT
    assert status("ADD", [(1, 8, 8, 4)] * 2, (1, 8, 8, 4), fused_activation_function=1) == ""


def test_constant_parts_of_a_concatenation_are_zeros_and_one_of_two() -> None:
    def joined(constants: int, value: int) -> str:
        net = Net()
        parts = [net.tensor((1, 4, 4, 2), values=value) for _ in range(constants)]
        shape = (1, 4, 4, 2 + 2 * constants)
        net.op("CONCATENATION", [net.input((1, 4, 4, 2)), *parts], shape, axis=3)
        verdict = judge(net.ops[0], net.tensors)
        return verdict.status if verdict else ""

    assert joined(1, 0) == ""
    assert joined(1, 1) == joined(2, 0) == LIMIT


def convolution(weights: dict, bias: str = "int32", op: str = "CONV_2D", **options: int) -> str:
    net = Net()
    x = net.input((1, 8, 8, 4))
    inputs = [x, net.tensor(**weights), net.tensor((4,), bias, values=0)]
    net.op(op, inputs, (1, 8, 8, 4), version=3, **options)
    verdict = judge(net.ops[0], net.tensors)
    return verdict.status if verdict else ""


def test_kernels() -> None:
    square = {"shape": (4, 3, 3, 4), "dtype": "int8", "values": 1}
    assert convolution(square) == ""
    assert convolution(square | {"dtype": "float32"}) == DATA_TYPE
    assert convolution(square, bias="int64") == DATA_TYPE
    assert convolution(square | {"values": None}) == LIMIT
    assert convolution(square | {"values": None}, op="FULLY_CONNECTED") == ""  # measured
    assert convolution(square, dilation_w_factor=2, dilation_h_factor=2) == ""  # measured
    assert convolution(square, dilation_w_factor=1, dilation_h_factor=2) == LIMIT
    tall = square | {"shape": (4, 3, 1, 4)}
    assert convolution(tall, dilation_w_factor=1, dilation_h_factor=2) == ""  # measured
    assert convolution(square, op="FULLY_CONNECTED", weights_format=1) == LIMIT


def test_slopes_of_prelu() -> None:
    for slope, expected in (((1, 1, 64), ""), ((8, 8, 64), LIMIT)):
        net = Net()
        net.op("PRELU", [net.input((1, 8, 8, 64)), net.tensor(slope, values=1)], (1, 8, 8, 64))
        verdict = judge(net.ops[0], net.tensors)
        assert (verdict.status if verdict else "") == expected


def test_unknown_ops_say_what_to_use() -> None:
    net = Net()
    net.op("HARD_SWISH", [net.input((1, 4, 4, 8))], (1, 4, 4, 8))
    verdict = judge(net.ops[0], net.tensors)
    assert verdict is not None
    assert verdict.status == UNSUPPORTED and "RELU6" in verdict.detail


def test_versions_beyond_the_table() -> None:
    assert status("ADD", [(1, 4, 4, 8)] * 2, (1, 4, 4, 8), version=2) == ""
    assert status("ADD", [(1, 4, 4, 8)] * 2, (1, 4, 4, 8), version=4) == VERSION  # measured


@pytest.mark.parametrize("op", sorted(TABLE["ops"]))
def test_an_op_without_inputs_or_outputs_is_no_reason_to_crash(op: str) -> None:
    net = Net()
    net.op(op, [], (1, 2, 2, 2))
    assert judge(net.ops[0], net.tensors) is not None
    net = Net()
    net.op(op, [-1, -1, -1, -1], (1, 2, 2, 2))
    judge(net.ops[0], net.tensors)


def test_the_table_fits_the_schema_and_the_versions() -> None:
    known = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert {*TABLE["ops"], *TABLE["instead"]} <= known
    assert not {*TABLE["ops"]} & {*TABLE["instead"]}
    newest = as_numbers(TABLE["newest_runtime"])
    for op, (version, holds) in TABLE["ops"].items():
        runtime = minimum_runtime(op, version)
        assert runtime is not None and as_numbers(runtime) <= newest, op
        assert holds in ("rows", "planes", "relayout", "gathered", "free")
