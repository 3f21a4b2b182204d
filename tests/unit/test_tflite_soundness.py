"""What interpreters take for granted of an op and crash on: the reader refuses it, and nothing that
runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_helpers import DATA, NAMES, one_op, repacked

from tfedge.errors import ArtifactError
from tfedge.tflite import apart
from tfedge.tflite.reader import read
from tfedge.tflite.soundness import forms

ROOT = Path(__file__).resolve().parents[2]
REAL = [
    *(DATA / f"{name}.tflite" for name in NAMES),
    *sorted(ROOT.glob("models/*/*.tflite")),
    *sorted((ROOT.parent / "shared" / "coral").glob("*.tflite")),
]
IMAGE = ((1, 4, 4, 2), "float32", None)
SEEN = ((1, 4, 4, 2), "int8", None)


def message(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        read(data)
    return caught.value.message


def options(kind: str, **values: Any) -> Any:
    table = getattr(schema, f"{kind}OptionsT")()
    for name, value in values.items():
        assert hasattr(table, name), name
        setattr(table, name, value)
    return table


def test_every_builtin_op_has_a_row() -> None:
    names = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert forms().keys() == names - {"CUSTOM"}


@pytest.mark.parametrize("name", sorted(forms()))
def test_a_row_says_what_the_schema_knows(name: str) -> None:
    form = forms()[name]
    most = form.inputs[1] if form.inputs[1] is not None else 99
    assert form.inputs[0] <= most and form.outputs[0] <= (form.outputs[1] or 99)
    places = [*form.optional, *form.numbers, *form.single, *form.broadcast]
    places += [form.axis[key] for key in ("of", "input") if key in form.axis]
    assert all(0 <= place < most for place in places)
    named = {*form.least, *form.counts, *form.graphs, form.axis.get("option", "")} - {""}
    if form.options is None:
        assert not named
        return
    words = {word.replace("_", "") for word in named}
    fields = {field.lower() for field in vars(getattr(schema, f"{form.options}T")())}
    assert words <= fields


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_no_real_model_is_refused(path: Path) -> None:
    assert read(path).ops


# --- an op by itself


def first(name: str) -> Callable[[Any], Any]:
    """The first op of that kind in a schema ``ModelT``."""
    code = getattr(schema.BuiltinOperator, name)

    def find(model: Any) -> Any:
        codes = [row.builtinCode for row in model.operatorCodes]
        return next(op for op in model.subgraphs[0].operators if codes[op.opcodeIndex] == code)

    return find


def left_out(name: str, place: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        op = first(name)(model)
        op.inputs = [*op.inputs[:place], -1, *op.inputs[place + 1 :]]

    return change


def changed(name: str, **fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for field, value in fields.items():
            setattr(first(name)(model), field, value)

    return change


def option(name: str, field: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(first(name)(model).builtinOptions, field, value)


def swapped(name: str, other: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        code = model.operatorCodes[first(name)(model).opcodeIndex]
        code.builtinCode = getattr(schema.BuiltinOperator, other)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (left_out("CONV_2D", 1), "CONV_2D lacks its input 1"),
        (left_out("CONV_2D", 0), "CONV_2D lacks its input 0"),
        (left_out("FULLY_CONNECTED", 1), "FULLY_CONNECTED lacks its input 1"),
        (left_out("MEAN", 1), "MEAN lacks its input 1"),
        (changed("CONV_2D", outputs=[]), "CONV_2D has 0 outputs, not 1"),
        (changed("MEAN", inputs=[]), "MEAN has 0 inputs, not 2"),
        (changed("SOFTMAX", inputs=[0, 1]), "SOFTMAX has 2 inputs, not 1"),
        (changed("DEPTHWISE_CONV_2D", inputs=[0, 1]), "DEPTHWISE_CONV_2D has 2 inputs, not 3"),
        (changed("SOFTMAX", intermediates=[500]), "SOFTMAX keeps tensor 500"),
        (swapped("MEAN", "SPLIT"), "SPLIT carries ReducerOptions, not SplitOptions"),
        (swapped("SOFTMAX", "LSTM"), "LSTM has 1 inputs, not 5 to 24"),
        (swapped("SOFTMAX", "RELU"), "RELU carries SoftmaxOptions, not none"),
        (option("CONV_2D", "strideH", 0), "CONV_2D has the stride_h 0"),
        (option("CONV_2D", "dilationWFactor", -1), "CONV_2D has the dilation_w_factor -1"),
        (
            changed("CONV_2D", builtinOptions=None, builtinOptionsType=0),
            "CONV_2D has the stride_w 0",
        ),
    ],
)
def test_an_op_that_is_not_as_ops_of_its_kind_are(change: Callable, said: str) -> None:
    assert said in message(repacked("color_int8", change))


def test_a_bias_may_be_left_out() -> None:
    assert read(repacked("color_int8", left_out("FULLY_CONNECTED", 2))).ops


# --- an op and its tensors


def lonely(name: str, *inputs: Any, made: Any = IMAGE, given: Any = None, **more: Any) -> bytes:
    outputs = made if isinstance(made, list) else [made]
    return one_op(name, inputs, outputs, given, **more)


def scaled(scale: float, point: int = 0) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        quantization = model.subgraphs[0].tensors[-1].quantization
        quantization.scale, quantization.zeroPoint = [scale], [point]

    return change


def plain(model: Any) -> None:
    model.subgraphs[0].tensors[-1].quantization = None


AXIS = ((), "int32", 3)
HALVES = [((1, 4, 4, 1), "float32", None)] * 2
FROM, TO, BY = (((4,), "int32", values) for values in ([0, 1, 0, 0], [1, 9, 4, 2], [1, 1, 1, 1]))
WRONG = {
    "the number of parts is not that of the outputs": (
        lonely("SPLIT", AXIS, IMAGE, made=HALVES, given=options("Split", numSplits=3)),
        "SPLIT has 2 outputs, and num_splits 3",
    ),
    "parts along an axis that is not there": (
        lonely("SPLIT", ((), "int32", 4), IMAGE, made=HALVES, given=options("Split", numSplits=2)),
        "SPLIT has the axis 4 in 4 dimensions",
    ),
    "an axis of real numbers": (
        lonely(
            "SPLIT", ((), "float32", 1), IMAGE, made=HALVES, given=options("Split", numSplits=2)
        ),
        "SPLIT takes float32 for its input 0",
    ),
    "no axis": (
        lonely(
            "SPLIT", ((0,), "int32", None), IMAGE, made=HALVES, given=options("Split", numSplits=2)
        ),
        "SPLIT takes 0 numbers for its input 0, not 1",
    ),
    "a stack of another number": (
        lonely("PACK", IMAGE, IMAGE, given=options("Pack", valuesCount=5)),
        "PACK has 2 inputs, and values_count 5",
    ),
    "a slice that ends outside": (
        lonely("STRIDED_SLICE", IMAGE, FROM, TO, BY, given=options("StridedSlice", offset=True)),
        "STRIDED_SLICE takes 9 from 1 on of 4",
    ),
    "a handle instead of numbers": (
        lonely("BATCH_MATMUL", IMAGE, IMAGE, made=((1,), "variant", None)),
        "BATCH_MATMUL takes or gives variant",
    ),
    "texts instead of numbers": (
        lonely("EXP", IMAGE, made=((1,), "string", None)),
        "EXP takes or gives string",
    ),
    "shapes that do not go together": (
        lonely("MUL", IMAGE, ((3,), "float32", 1.0)),
        "MUL takes shapes that don't fit: [1, 4, 4, 2], [3]",
    ),
    "numbers that mean nothing": (
        lonely("QUANTIZE", IMAGE, made=SEEN, change=plain),
        "QUANTIZE takes or gives int8 without a scale",
    ),
    "a scale without end": (
        lonely("QUANTIZE", IMAGE, made=SEEN, change=scaled(np.inf)),
        "has the scale inf",
    ),
    "a scale that is no number": (
        lonely("QUANTIZE", IMAGE, made=SEEN, change=scaled(np.nan)),
        "has the scale nan",
    ),
    "a scale of nothing": (
        lonely("QUANTIZE", IMAGE, made=SEEN, change=scaled(0.0)),
        "has the scale 0.0",
    ),
    "a zero point beyond its type": (
        lonely("QUANTIZE", IMAGE, made=SEEN, change=scaled(0.5, 128)),
        "int8 has the zero point 128",
    ),
    "a recurrent op of the other kind": (
        one_op("LSTM", [IMAGE] * 24, [IMAGE], options("LSTM", kernelType=1)),
        "LSTM of the BASIC kind has 24 inputs",
    ),
    "a loop over a subgraph that is not there": (
        lonely("WHILE", IMAGE, given=options("While", bodySubgraphIndex=7)),
        "WHILE calls subgraph 7 of 1",
    ),
    "a loop without end": (
        lonely("WHILE", IMAGE, given=options("While")),
        "subgraph 0 calls itself",
    ),
}


@pytest.mark.parametrize(("data", "said"), WRONG.values(), ids=WRONG)
def test_an_op_that_does_not_go_with_its_tensors(data: bytes, said: str) -> None:
    assert said in message(data)


def test_what_looks_like_it_and_runs(tmp_path: Path) -> None:
    """As many parts as are said, a slice that ends inside, an empty shape: not refused, and run."""
    inside = ((4,), "int32", [1, 3, 4, 2])
    one = ((1, 3, 4, 2), "float32", None)
    given = options("StridedSlice", offset=True)
    for name, data in {
        "slice": lonely("STRIDED_SLICE", IMAGE, FROM, inside, BY, made=one, given=given),
        "scalar": lonely(
            "RESHAPE", ((1,), "float32", None), ((0,), "int32", None), made=((), "float32", None)
        ),
        "reduced": lonely("MEAN", IMAGE, ((1,), "int32", -1), given=options("Reducer")),
        "spread": lonely("MUL", IMAGE, ((4, 1), "float32", 2.0), given=options("Mul")),
    }.items():
        model = read(data)
        (tmp_path / name).write_bytes(data)
        (tmp_path / "in").write_bytes(bytes(4 * model.inputs[0].size))
        if len(model.inputs) == 1:
            assert len(apart.answers(tmp_path / name, [tmp_path / "in"]).outputs) == 1


# --- the order of the ops


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g.operators.reverse(), "which nothing has computed"),
        (lambda g: g.operators.pop(), "the graph gives tensor"),
        (
            lambda g: setattr(g.operators[3], "outputs", [0]),
            "writes tensor 0, which is not its own",
        ),
        (
            lambda g: setattr(g.operators[3], "outputs", [g.operators[2].outputs[0]]),
            "which is not its own",
        ),
        (
            lambda g: setattr(g.operators[3], "outputs", [g.operators[2].inputs[1]]),
            "which is not its own",
        ),
    ],
    ids=["backwards", "cut", "into the input", "twice", "into a constant"],
)
def test_the_order_of_the_ops(change: Callable[[Any], object], said: str) -> None:
    assert said in message(repacked("color_float", lambda model: change(model.subgraphs[0])))


def test_paddings_are_of_more_types_than_other_shapes() -> None:
    paddings = ((4, 2), "int8", [[0, 0], [1, 1], [1, 1], [0, 0]])
    data = lonely("PAD", IMAGE, paddings, made=((1, 6, 6, 2), "float32", None))
    assert read(data).ops
