"""Programs of compiled models: read when sound, refused when not."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_helpers import packed

from tfedge.edgetpu import edgetpu
from tfedge.edgetpu.darwinn import Broken, Program, read
from tfedge.tflite import reader

CACHING, EXECUTION = 1, 2


def executable(parameters: int, kind: int, narrow: int = 0) -> bytes:
    builder = flatbuffers.Builder(64)
    weights = builder.CreateByteVector(bytes(parameters))
    builder.StartObject(18)
    builder.PrependUOffsetTRelativeSlot(6, weights, 0)
    builder.PrependInt32Slot(12, narrow, 0)
    builder.PrependInt16Slot(13, kind, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def package(*executables: bytes, runtime: int = 14) -> bytes:
    builder = flatbuffers.Builder(64)
    strings = [builder.CreateString(content) for content in executables]
    builder.StartVector(4, len(strings), 4)
    for string in reversed(strings):
        builder.PrependUOffsetTRelative(string)
    vector = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.Finish(builder.EndObject())
    multi = bytes(builder.Output())

    builder = flatbuffers.Builder(64)
    inner, compiler = builder.CreateByteVector(multi), builder.CreateString("cl/384591198")
    builder.StartObject(8)
    builder.PrependInt32Slot(0, runtime, 0)
    builder.PrependUOffsetTRelativeSlot(1, inner, 0)
    builder.PrependUOffsetTRelativeSlot(4, compiler, 0)
    builder.Finish(builder.EndObject(), b"DWN1")
    # in the file it stands in a flexbuffer, with other things before and behind
    return b"flexbuffer before" + bytes(builder.Output()) + b"and behind"


WHOLE = package(executable(5000, CACHING), executable(300, EXECUTION, narrow=196_608))


def compiled_model(program: bytes) -> bytes:
    """A compiled .tflite: the custom op, and a RELU that was left to the CPU."""
    codes = []
    for builtin, name in ((32, "edgetpu-custom-op"), (schema.BuiltinOperator.RELU, None)):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.customCode, code.version = name, 1
        codes.append(code)
    tensors, ops = [], []
    for number in range(3):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = f"t{number}", [1, 4], schema.TensorType.INT8
        tensor.buffer = 0
        tensors.append(tensor)
    for number in range(2):
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = number, [number], [number + 1]
        ops.append(op)
    ops[0].customOptions = list(program)
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, ops, [0], [2]
    model.version, model.operatorCodes, model.subgraphs = 3, codes, [graph]
    model.buffers = [schema.BufferT()]
    return packed(model)


def test_sizes_and_versions() -> None:
    assert read(WHOLE) == Program(14, "cl/384591198", 5000, 300)


def test_every_cut_is_noticed() -> None:
    for end in range(len(WHOLE) - len(b"and behind") - 8):  # the last bytes may be padding
        with pytest.raises(Broken):
            read(WHOLE[:end])


def test_a_length_beyond_the_program_is_no_length() -> None:
    assert WHOLE.count((5000).to_bytes(4, "little")) == 1
    with pytest.raises(Broken, match="1000000 bytes"):
        read(WHOLE.replace((5000).to_bytes(4, "little"), (1_000_000).to_bytes(4, "little")))


def test_damage_ends_in_a_program_or_a_refusal() -> None:
    rng = np.random.default_rng(3)
    start, refused = WHOLE.index(b"DWN1") - 4, 0
    places = [at for at in range(start, len(WHOLE)) if WHOLE[at]]  # not in the 5,300 zeros
    for _ in range(3000):
        data = bytearray(WHOLE)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.choice(places))] = int(rng.integers(256))
        try:
            found = read(bytes(data))
            assert found.cached + found.streamed <= 64 * len(WHOLE)
        except Broken:
            refused += 1
    assert refused > 500


def test_nothing_in_it() -> None:
    for content in (b"", b"program", b"DWN1", b"xDWN1"):
        with pytest.raises(Broken):
            read(content)


def test_a_compiled_model() -> None:
    found = edgetpu.predict(reader.read(compiled_model(WHOLE)))
    assert (found.compiled, found.mapped, found.total, found.subgraphs) == (True, 1, 2, 1)
    assert [op.target for op in found.ops] == ["tpu", "cpu"]
    assert (found.parameter_bytes, found.streamed_bytes) == (5300, 300)
    assert (found.min_runtime, found.compiler) == (14, "cl/384591198")
    assert found.notes == ()


def test_a_compiled_model_whose_program_is_broken_says_so() -> None:
    found = edgetpu.predict(reader.read(compiled_model(b"program")))
    assert (found.compiled, found.mapped, found.total) == (True, 1, 2)
    assert found.parameter_bytes == 0 and found.min_runtime is None
    assert "op 0 can't be read" in found.notes[0]
