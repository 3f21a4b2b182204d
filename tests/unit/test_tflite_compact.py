"""What ships: short names, equal vectors once, and the same model."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.unit.tflite_helpers import DATA
from tfedge.tflite.compact import compact
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import LiteRT


def file_of(name: str) -> bytes:
    return (DATA / f"{name}.tflite").read_bytes()


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("color_float", "model"),
        ("color_int8", "model"),
        ("color_half", "model"),
        ("digits_int8", "model_2"),
    ],
)
def test_the_file_is_smaller_and_the_model_the_same(name: str, scope: str) -> None:
    before = file_of(name)
    after = compact(before, scope=scope)
    assert len(after) < len(before)
    assert compact(before, scope=scope) == after
    given, made = LiteRT(before), LiteRT(after)
    rng = np.random.default_rng(0)
    for _ in range(4):
        (port,) = given.inputs()
        image = rng.integers(0, 256, port.shape).astype(port.dtype)
        assert np.array_equal(given.invoke(image)[0], made.invoke(image)[0])
    old, new = read(before), read(after)
    assert new.signatures == old.signatures
    assert new.metadata == old.metadata
    for ports in ("inputs", "outputs"):
        assert [t.name for t in getattr(new, ports)] == [t.name for t in getattr(old, ports)]
    for ours, theirs in zip(new.tensors, old.tensors, strict=True):
        assert (ours.dtype, ours.shape, ours.quantization) == (
            theirs.dtype,
            theirs.shape,
            theirs.quantization,
        )


def test_tensors_are_called_as_their_layers_are() -> None:
    model = read(compact(file_of("digits_int8"), scope="model_2"))
    found = [[model.tensors[i].name for i in (*op.inputs, *op.outputs)] for op in model.ops]
    assert found == [
        ["serving_default_pixels:0", "quantize"],
        ["quantize", "normalise/constant", "normalise/mul"],
        ["normalise/mul", "normalise/constant_2", "normalise"],
        ["normalise", "first/kernel", "first/bias", "first"],
        ["first", "depth/kernel", "depth/bias", "depth"],
        ["depth", "point/kernel", "point/bias", "point"],
        ["point", "first", "add"],
        ["add", "second/kernel", "second/bias", "second"],
        ["second", "pool"],
        ["pool", "flat/shape", "flat"],
        ["flat", "logits/kernel", "logits/bias", "fully_connected"],
        ["fully_connected", "StatefulPartitionedCall:0"],
    ]


def test_a_kernel_that_is_stored_in_another_form_has_its_layers_name() -> None:
    model = read(compact(file_of("color_half"), scope="model"))
    assert [kernel.tensor for kernel in model.kernels()] == [
        "first/kernel",
        "depth/kernel",
        "point/kernel",
        "head/kernel",
    ]


def test_a_prefix_is_left_out() -> None:
    content = file_of("color_int8").replace(b"model/point", b"model/q_int")
    names = {t.name for t in read(compact(content, scope="model", prefix="q_")).tensors}
    assert {"int/kernel", "int/bias"} <= names


def test_only_constants_and_metadata_have_a_buffer() -> None:
    content = compact(file_of("digits_int8"), scope="model_2")
    model, found = schema.Model.GetRootAs(content, 0), read(content)
    stored = [tensor for tensor in found.tensors if tensor.is_const]
    assert model.BuffersLength() == 1 + len(stored) + model.MetadataLength()


def test_equal_vectors_lie_in_one_place_and_constants_at_multiples_of_16() -> None:
    content = compact(file_of("digits_int8"), scope="model_2")
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    places: dict[tuple[int, ...], set[int]] = {}
    for index in range(graph.TensorsLength()):
        quantization = graph.Tensors(index).Quantization()
        if quantization is None or quantization.ZeroPointLength() == 0:
            continue
        table = quantization._tab
        place = table.Vector(table.Offset(10))  # of zero_point, the fourth field
        places.setdefault(tuple(quantization.ZeroPointAsNumpy().tolist()), set()).add(place)
    assert len(places) > 4
    assert all(len(found) == 1 for found in places.values())
    stored = 0
    for index in range(model.BuffersLength()):
        table = model.Buffers(index)._tab
        if offset := table.Offset(4):
            assert table.Vector(offset) % 16 == 0
            stored += 1
    assert stored > 10
