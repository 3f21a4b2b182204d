"""Multiply-accumulates and the memory of activations, by hand and against LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_helpers import DATA, Net, conv

from tfedge.tflite import cost
from tfedge.tflite.reader import read


def macs(net: Net) -> int:
    return cost.macs(net.ops[-1], net.tensors)


def test_macs_of_each_kind_of_op() -> None:
    net = Net()
    x = net.input((1, 8, 8, 6))
    conv(net, x, 10, kernel=3)
    assert macs(net) == 8 * 8 * 10 * 3 * 3 * 6
    net.op("DEPTHWISE_CONV_2D", [x, net.tensor((1, 5, 5, 6), values=1)], (1, 4, 4, 6))
    assert macs(net) == 4 * 4 * 6 * 25
    size = net.tensor((4,), "int32", values=1)
    kernel = net.tensor((7, 2, 2, 6), values=1)
    net.op("TRANSPOSE_CONV", [size, kernel, x], (1, 16, 16, 7))
    assert macs(net) == 8 * 8 * 6 * 7 * 2 * 2
    net.op("FULLY_CONNECTED", [x, net.tensor((3, 384), values=1)], (1, 3))
    assert macs(net) == 384 * 3
    net.op("BATCH_MATMUL", [net.input((2, 4, 5)), net.input((2, 5, 7))], (2, 4, 7))
    assert macs(net) == 2 * 4 * 5 * 7
    net.op("ADD", [x, x], (1, 8, 8, 6))
    assert macs(net) == 0


def test_grouped_convolution_counts_its_own_channels_only() -> None:
    net = Net()
    net.op("CONV_2D", [net.input((1, 4, 4, 8)), net.tensor((8, 1, 1, 2), values=1)], (1, 4, 4, 8))
    assert macs(net) == 4 * 4 * 8 * 2


def test_macs_of_a_whole_net() -> None:
    model = read(DATA / "color_int8.tflite")
    first, depth, point, head = 16 * 16 * 4 * 27, 8 * 8 * 4 * 9, 8 * 8 * 8 * 4, 8 * 3
    total = sum(cost.macs(op, model.tensors) for op in model.ops)
    assert total == first + depth + point + head


def test_op_without_inputs_or_outputs_costs_nothing() -> None:
    net = Net()
    made = net.op("CONV_2D", [], (1, 1))
    assert cost.macs(net.ops[0], net.tensors) == 0
    net.op("CONV_2D", [-1, made], (1, 1))
    assert cost.macs(net.ops[1], net.tensors) == 0


def test_arena_reuses_what_is_no_longer_read() -> None:
    net = Net()
    x = net.input((64,))
    a = net.op("RELU", [x], (640,))
    b = net.op("RELU", [a], (128,))
    c = net.op("RELU", [b], (576,))  # a is free again, x is not
    out = net.op("RELU", [c], (64,))
    # throughout: x and out; then a (640) and b (128) at once; c fits where a was
    assert cost.arena(net.model(out).graphs[0]) == 64 + 64 + 640 + 128


def test_arena_counts_neither_constants_nor_less_than_a_line() -> None:
    net = Net()
    kernel = net.tensor((1000,), values=1)
    out = net.op("ADD", [net.input((1,)), kernel], (1,))
    assert cost.arena(net.model(out).graphs[0]) == 2 * cost.ALIGNMENT


def test_arena_keeps_a_branch_alive() -> None:
    net = Net()
    x = net.input((64,))
    early = net.op("RELU", [x], (6400,))
    late = net.op("RELU", [x], (64,))
    for _ in range(3):
        late = net.op("RELU", [late], (640,))
    out = net.op("ADD", [early, late], (64,))
    assert cost.arena(net.model(out).graphs[0]) == 2 * 64 + 6400 + 2 * 640


def planned(spans: list[tuple[int, int, int]]) -> int:
    """The same plan made the slow way: (bytes, first op, last op) of each tensor, in its order."""
    placed: list[tuple[int, int, int, int]] = []
    for size, first, last in spans:
        alive = sorted((at, n) for at, n, a, b in placed if a <= last and first <= b)
        offset = 0
        for at, n in alive:
            if at - offset >= size:
                break
            offset = max(offset, at + n)
        placed.append((offset, size, first, last))
    return max(at + n for at, n, _, _ in placed)


def test_arena_is_the_plan_made_the_slow_way() -> None:
    rng = np.random.default_rng(11)
    for _ in range(30):
        net = Net()
        made = [net.input((64,))]
        for _ in range(40):
            reads = [made[-1], made[int(rng.integers(max(0, len(made) - 9), len(made)))]]
            made.append(net.op("ADD", reads, (64 * int(rng.integers(1, 40)),)))
        graph = net.model(made[-1]).graphs[0]
        last = {i: op.index for op in net.ops for i in (*op.outputs, *op.inputs)}
        ends = {made[0], made[-1]}
        inner = sorted((-net.tensors[i].size, i - 1, last[i]) for i in made if i not in ends)
        outer = [(net.tensors[i].size, 0, 40) for i in ends]
        outer.sort(reverse=True)
        spans = [*outer, *((-size, first, end) for size, first, end in inner)]
        assert cost.arena(graph) == planned(spans)


def test_a_graph_too_large_to_plan_is_not_planned() -> None:
    net = Net()
    x = net.input((1,))
    for _ in range(cost._MOST + 1):
        x = net.op("RELU", [x], (1,))
    assert cost.arena(net.model(x).graphs[0]) is None


def test_a_tensor_of_2_to_the_40_takes_no_memory_here() -> None:
    net = Net()
    out = net.op("RELU", [net.input((2**20, 2**20))], (2**20, 2**20))
    assert cost.arena(net.model(out).graphs[0]) == 2 * 2**40


@pytest.mark.parametrize("name", ["color_int8", "color_float", "digits_int8"])
def test_estimate_is_what_litert_takes_but_for_its_scratch(name: str) -> None:
    """LiteRT's arena as the addresses of its tensors tell it; kernels' own scratch lies between."""
    path = DATA / f"{name}.tflite"
    model = read(path)
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    made = {i for op in model.ops for i in op.outputs} | set(model.graphs[0].inputs)
    spans = []
    for index in made:
        view = interpreter.tensor(index)()
        start = view.__array_interface__["data"][0]
        spans.append((start, start + view.nbytes))
    taken = max(end for _, end in spans) - min(start for start, _ in spans)
    estimate = cost.arena(model.graphs[0])
    assert estimate is not None
    assert 0.5 * taken < estimate <= taken + cost.ALIGNMENT
