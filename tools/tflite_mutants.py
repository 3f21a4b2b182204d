"""Damaged models: real ones with their structure changed, each a sound flatbuffer.

What an editor, a broken converter or an attacker would leave: inputs that are not there, ops
without outputs, other operators on the same tensors, options that don't fit, tensors of another
shape or type. Every mutant is made of a seed and a number alone: the same ones on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

CODES = sorted(code for name, code in vars(schema.BuiltinOperator).items() if name.isupper())
TYPES = sorted(code for name, code in vars(schema.TensorType).items() if name.isupper())
NUMBERS = (0, -1, 1, 2, 3, 7, 255, 65_536, 2**31 - 1, -(2**31))
SIDES = (0, 1, 2, 3, 5, 33, 1000)
MOST_CHANGES = 2  # of one mutant; the more, the likelier something else is seen first


class Mutant(NamedTuple):
    name: str  # the model, the number and what was changed
    data: bytes


class _Nothing(Exception):
    """The model has nothing of the kind that is to be changed."""


class Change:
    """One damage to a model. ``say`` collects what was done."""

    def __init__(self, model: Any, random: np.random.Generator) -> None:
        self.model = model
        self.random = random
        self.graph = self.one(model.subgraphs)

    def one(self, items: Sequence[Any]) -> Any:
        return items[self.place(items)]

    def place(self, items: Sequence[Any]) -> int:
        if not items:
            raise _Nothing
        return int(self.random.integers(len(items)))

    def tensor(self) -> int:
        return self.place(self.graph.tensors)

    def op(self) -> Any:
        return self.one(self.graph.operators)

    # --- what an op reads and writes

    def input_left_out(self) -> None:
        op = self.op()
        given = _numbers(op.inputs)
        given[self.place(given)] = -1
        op.inputs = given

    def input_dropped(self) -> None:
        op = self.op()
        given = _numbers(op.inputs)
        del given[self.place(given)]
        op.inputs = given

    def input_added(self) -> None:
        op = self.op()
        op.inputs = [*_numbers(op.inputs), self.tensor()]

    def inputs_shuffled(self) -> None:
        op = self.op()
        op.inputs = self.random.permutation(_numbers(op.inputs)).tolist()

    def input_other(self) -> None:
        op = self.op()
        given = _numbers(op.inputs)
        given[self.place(given)] = self.tensor()
        op.inputs = given

    def no_inputs(self) -> None:
        self.op().inputs = []

    def no_outputs(self) -> None:
        self.op().outputs = []

    def output_other(self) -> None:
        op = self.op()
        taken = _numbers(op.outputs)
        taken[self.place(taken)] = self.tensor()
        op.outputs = taken

    def output_added(self) -> None:
        op = self.op()
        op.outputs = [*_numbers(op.outputs), self.tensor()]

    def output_dropped(self) -> None:
        op = self.op()
        op.outputs = _numbers(op.outputs)[:-1]

    # --- operators and options

    def any_operator(self) -> None:
        """One op becomes any other; its tensors and options stay."""
        code = schema.OperatorCodeT()
        code.builtinCode = int(self.one(CODES))
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = int(self.one((1, 1, 2, 3, 5)))
        self.model.operatorCodes.append(code)
        self.op().opcodeIndex = len(self.model.operatorCodes) - 1

    def operator_swapped(self) -> None:
        """One op becomes another that the model has."""
        self.op().opcodeIndex = self.place(self.model.operatorCodes)

    def code_changed(self) -> None:
        """All ops of one kind become another kind."""
        code = self.one(self.model.operatorCodes)
        code.builtinCode = int(self.one(CODES))
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)

    def version_changed(self) -> None:
        self.one(self.model.operatorCodes).version = int(self.one((-1, 0, 1, 2, 4, 99)))

    def options_removed(self) -> None:
        op = self.op()
        op.builtinOptionsType, op.builtinOptions = 0, None

    def options_of_another(self) -> None:
        op, other = self.op(), self.op()
        op.builtinOptionsType, op.builtinOptions = other.builtinOptionsType, other.builtinOptions

    def option_changed(self) -> None:
        op = self.op()
        given = vars(op.builtinOptions) if op.builtinOptions is not None else {}
        names = [name for name, value in given.items() if isinstance(value, (bool, int, float))]
        name = self.one(names)
        for number in self.random.permutation(NUMBERS).tolist():
            before = getattr(op.builtinOptions, name)
            setattr(op.builtinOptions, name, type(before)(number))
            try:
                op.Pack(flatbuffers.Builder(64))
            except (
                TypeError,
                ValueError,
                AssertionError,
            ):  # does not fit into a field of that width
                setattr(op.builtinOptions, name, before)
            else:
                return

    def op_removed(self) -> None:
        del self.graph.operators[self.place(self.graph.operators)]

    def ops_swapped(self) -> None:
        ops = self.graph.operators
        a, b = self.place(ops), self.place(ops)
        ops[a], ops[b] = ops[b], ops[a]

    # --- tensors

    def type_changed(self) -> None:
        self.graph.tensors[self.tensor()].type = int(self.one(TYPES))

    def shape_of_another(self) -> None:
        tensor, other = (self.graph.tensors[self.tensor()] for _ in range(2))
        tensor.shape, tensor.buffer = other.shape, 0

    def shape_changed(self) -> None:
        tensor = self.graph.tensors[self.tensor()]
        tensor.shape = self.random.choice(SIDES, int(self.random.integers(6))).tolist()
        tensor.buffer = 0

    def side_changed(self) -> None:
        tensor = self.graph.tensors[self.tensor()]
        shape = _numbers(tensor.shape)
        shape[self.place(shape)] = int(self.one(SIDES))
        tensor.shape = shape

    def shape_turned(self) -> None:
        tensor = self.graph.tensors[self.tensor()]
        tensor.shape = self.random.permutation(_numbers(tensor.shape)).tolist()

    def shape_open(self) -> None:
        tensor = self.graph.tensors[self.tensor()]
        tensor.shapeSignature = [-1 for _ in _numbers(tensor.shape)]

    def values_gone(self) -> None:
        """A constant becomes something that nobody computes."""
        self.graph.tensors[self.tensor()].buffer = 0

    def values_of_another(self) -> None:
        tensor, other = (self.graph.tensors[self.tensor()] for _ in range(2))
        tensor.buffer = other.buffer

    def whole_numbers_changed(self) -> None:
        """Axes, shapes, sizes: what an op reads as numbers and not as weights."""
        small = [
            tensor
            for tensor in self.graph.tensors
            if tensor.type in (schema.TensorType.INT32, schema.TensorType.INT64)
            and tensor.buffer < len(self.model.buffers)
            and 0 < len(_numbers(self.model.buffers[tensor.buffer].data)) <= 64
        ]
        tensor = self.one(small)
        wide = np.int64 if tensor.type == schema.TensorType.INT64 else np.int32
        buffer = self.model.buffers[tensor.buffer]
        raw = np.asarray(buffer.data, np.uint8)
        if raw.size % np.dtype(wide).itemsize:
            return
        numbers = raw.view(wide).copy()
        numbers[int(self.random.integers(numbers.size))] = int(self.one(NUMBERS))
        buffer.data = numbers.view(np.uint8)

    def variable(self) -> None:
        tensor = self.graph.tensors[self.tensor()]
        tensor.isVariable = not tensor.isVariable

    def scales_changed(self) -> None:
        found = [
            t for t in self.graph.tensors if t.quantization and t.quantization.scale is not None
        ]
        quantization = self.one(found).quantization
        way = int(self.random.integers(4))
        if way == 0:
            quantization.scale = [float(self.one((0.0, -1.0, np.nan, np.inf, 1e30)))]
        elif way == 1:
            quantization.zeroPoint = [int(self.one(NUMBERS))] * len(_numbers(quantization.scale))
        elif way == 2:
            quantization.quantizedDimension = int(self.one((-1, 0, 1, 3, 9)))
        else:
            quantization.scale = quantization.zeroPoint = None

    # --- the graphs

    def graph_inputs(self) -> None:
        count = int(self.random.integers(3))
        self.graph.inputs = [self.tensor() for _ in range(count)]

    def graph_outputs(self) -> None:
        count = int(self.random.integers(3))
        self.graph.outputs = [self.tensor() for _ in range(count)]

    def graph_again(self) -> None:
        self.model.subgraphs.append(self.model.subgraphs[0])


def _numbers(vector: Any) -> list[Any]:
    return [] if vector is None else list(np.asarray(vector).tolist())


CHANGES: dict[str, Callable[[Change], None]] = {
    name: function
    for name, function in vars(Change).items()
    if not name.startswith("_") and name not in ("one", "place", "tensor", "op")
}


def mutant(data: bytes, seed: int) -> Mutant:
    """One mutant of a model; ``name`` says what was changed."""
    random = np.random.default_rng(seed)
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    change = Change(model, random)
    names = list(CHANGES)
    done: list[str] = []
    wanted = int(random.integers(1, MOST_CHANGES + 1))
    while len(done) < wanted:
        name = names[int(random.integers(len(names)))]
        with suppress(_Nothing):
            CHANGES[name](change)
            done.append(name)
    builder = flatbuffers.Builder(len(data) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return Mutant("+".join(done), bytes(builder.Output()))


def mutants(models: dict[str, bytes], count: int, seed: int = 0) -> Iterator[Mutant]:
    """``count`` of them, of one model after another."""
    names = list(models)
    for number in range(count):
        name = names[number % len(names)]
        made = mutant(models[name], seed + number)
        yield Mutant(f"{name} {seed + number} {made.name}", made.data)
