"""``inspect`` on broken and hostile files: a description or a refusal, never anything else."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from test_tflite_darwinn import WHOLE, compiled_model
from tflite_helpers import DATA, packed

from tfedge.edgetpu.inspect import describe
from tfedge.errors import ArtifactError
from tfedge.files.text import WIDTH
from tfedge.report.inspect import text

FILES = 10_000
NAMES = ("color_int8", "color_half", "color_wide", "digits_int8")
SEEDS = [*((DATA / f"{name}.tflite").read_bytes() for name in NAMES), compiled_model(WHOLE)]
WORDS = (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 1 << 30, 1 << 16)


def outcome(data: bytes) -> str:
    """``read`` or ``refused``; anything that is raised besides ArtifactError goes through."""
    try:
        facts = describe(data, "x.tflite").to_json()
    except ArtifactError as error:
        assert error.exit_code == 7 and "x.tflite" in error.message
        return "refused"
    json.dumps(facts, allow_nan=False)
    assert max(map(len, text(facts).splitlines())) <= WIDTH
    return "read"


def flip(data: bytearray, at: int, rng: np.random.Generator) -> None:
    data[at] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, at: int, rng: np.random.Generator) -> None:
    del data[max(at, 8) :]


def splice(data: bytearray, at: int, rng: np.random.Generator) -> None:
    other, length = SEEDS[rng.integers(len(SEEDS))], int(rng.integers(1, 200))
    start = int(rng.integers(len(other)))
    data[at : at + length] = other[start : start + length]


def enlarge(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """A length or an offset that points nowhere."""
    word = (*WORDS, len(data), len(data) - 4)[rng.integers(len(WORDS) + 2)]
    data[at // 4 * 4 : at // 4 * 4 + 4] = word.to_bytes(4, "little")


def shift(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """An offset that points to something else nearby."""
    place = slice(at // 4 * 4, at // 4 * 4 + 4)
    word = int.from_bytes(data[place], "little") + int(rng.integers(-64, 65))
    data[place] = (word % 2**32).to_bytes(4, "little")


WAYS = (flip, flip, splice, enlarge, shift, shift, cut)


def test_ten_thousand_broken_files() -> None:
    rng = np.random.default_rng(4)
    seen: Counter[str] = Counter()
    for number in range(FILES):
        data = bytearray(SEEDS[number % len(SEEDS)])
        for _ in range(int(rng.integers(1, 5))):
            if len(data) > 8:
                WAYS[rng.integers(len(WAYS))](data, int(rng.integers(4, len(data))), rng)
        seen[outcome(bytes(data))] += 1
    assert seen.total() == FILES
    assert min(seen["read"], seen["refused"]) > FILES / 20, seen


CODES = [code for name, code in vars(schema.BuiltinOperator).items() if name.isupper()]
TYPES = [code for name, code in vars(schema.TensorType).items() if name.isupper()]
SIDES = (0, 1, 2, 3, 5, 33, 2**20, 2**31 - 1)


def nonsense(model: schema.ModelT, rng: np.random.Generator) -> None:
    """A file that is a sound flatbuffer and makes no sense: any op on any tensors."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[rng.integers(len(graph.tensors))]
    op = graph.operators[rng.integers(len(graph.operators))]
    code = model.operatorCodes[rng.integers(len(model.operatorCodes))]
    count = len(graph.tensors)
    way = rng.integers(8)
    if way < 2:
        code.builtinCode = int(rng.choice(CODES))
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = int(rng.choice([-1, 0, 1, 2, 3, 9, 1000]))
    elif way == 2:
        op.inputs = rng.integers(-1, count, rng.integers(6)).tolist()
    elif way == 3:
        op.outputs = rng.integers(0, count, rng.integers(4)).tolist()
    elif way == 4:
        tensor.type = int(rng.choice(TYPES))
    elif way == 5:
        tensor.shape, tensor.buffer = rng.choice(SIDES, rng.integers(6)).tolist(), 0
    elif way == 6 and tensor.quantization is not None:
        tensor.quantization.scale = [float(rng.choice([0, np.nan, np.inf, -1]))]
        tensor.quantization.zeroPoint = [int(rng.integers(-300, 300))]
    else:
        graph.inputs = rng.integers(0, count, rng.integers(3)).tolist()


def test_files_that_make_no_sense() -> None:
    rng = np.random.default_rng(9)
    seen: Counter[str] = Counter()
    for number in range(600):
        model = schema.ModelT.InitFromPackedBuf(SEEDS[number % len(NAMES)], 0)
        for _ in range(int(rng.integers(1, 8))):
            nonsense(model, rng)
        seen[outcome(packed(model))] += 1
    assert min(seen["read"], seen["refused"]) > 30, seen


def crowd(tensors: int, ops: int, name: int, shape: tuple[int, ...]) -> bytes:
    """A small file that seems large: all its tensors are one table, and so are all its ops."""
    builder = flatbuffers.Builder(1024)
    text_ = builder.CreateString("x" * name)
    sides = builder.CreateNumpyVector(np.array(shape, np.int32))
    schema.TensorStart(builder)
    schema.TensorAddName(builder, text_)
    schema.TensorAddShape(builder, sides)
    tensor = schema.TensorEnd(builder)
    indices = builder.CreateNumpyVector(np.zeros(3, np.int32))
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, indices)
    schema.OperatorAddOutputs(builder, indices)
    op = schema.OperatorEnd(builder)

    def vector(table: int, count: int) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())

    all_tensors, all_ops = vector(tensor, tensors), vector(op, ops)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, all_tensors)
    schema.SubGraphAddOperators(builder, all_ops)
    graphs = vector(schema.SubGraphEnd(builder), 1)
    schema.OperatorCodeStart(builder)
    codes = vector(schema.OperatorCodeEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddOperatorCodes(builder, codes)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


IN_LITTLE_MEMORY = """
import resource, sys
from tfedge.cli import main
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
sys.exit(main(["inspect", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("tensors", "ops", "name", "shape", "code", "said"),
    [
        (4, 2, 3, (2**20, 2**20), 7, "has 3 inputs"),
        (4, 2, 3, (2**21, 2**31 - 1), 7, "has the shape"),
        (40_000, 2, 3, (1,), 7, "40000 tensors in a file of"),
        (4, 40_000, 3, (1,), 7, "40000 operators in a file of"),
        (400, 2, 60_000, (1,), 7, "lists more than a file of"),
    ],
)
def test_what_seems_large_takes_little_memory(
    tensors: int, ops: int, name: int, shape: tuple[int, ...], code: int, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "crowd.tflite"
    path.write_bytes(crowd(tensors, ops, name, shape))
    ran = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == code, ran.stderr
    assert said in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_kernel_that_many_ops_seem_to_own_is_counted_once() -> None:
    model = schema.ModelT.InitFromPackedBuf(SEEDS[0], 0)
    graph = model.subgraphs[0]
    conv = next(op for op in graph.operators if len(op.inputs) == 3)
    for _ in range(50):  # each with an output of its own, the kernel in common
        graph.tensors.append(graph.tensors[conv.outputs[0]])
        again = copy.copy(conv)
        again.outputs = np.array([len(graph.tensors) - 1], np.int32)
        graph.operators.append(again)
    plain, many = describe(SEEDS[0]), describe(packed(model))
    assert many.kernels == plain.kernels
    assert many.constant_bytes == plain.constant_bytes
