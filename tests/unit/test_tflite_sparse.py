"""Kernels stored without their zeros, and what hinders XNNPACK's sparse kernels."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_helpers import Net, repacked

from tfedge.tflite.reader import read
from tfedge.tflite.sparse import Layout, Level, written_out
from tfedge.tflite.xnnpack import is_sparse, obstacles


def rows(whole: np.ndarray) -> tuple[np.ndarray, Level]:
    """A matrix as compressed sparse rows: what is stored, and the level of its columns."""
    segments = np.concatenate(([0], np.count_nonzero(whole, axis=1).cumsum()))
    return whole[whole != 0], Level(0, segments, np.nonzero(whole)[1])


def test_compressed_rows_are_written_out():
    whole = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]], np.float32)
    stored, columns = rows(whole)
    layout = Layout((0, 1), (), (Level(3), columns))
    np.testing.assert_array_equal(written_out(stored, (3, 4), layout), whole)


def test_blocks_are_written_out():
    """Blocks of 1×2: rows dense, block columns sparse, both places of a block dense."""
    whole = np.array([[0, 0, 5, 6], [7, 0, 0, 0]], np.float32)
    columns = Level(0, np.array([0, 1, 2]), np.array([1, 0]))
    layout = Layout((0, 1, 2), (1,), (Level(2), columns, Level(2)))
    stored = np.array([5, 6, 7, 0], np.float32)
    np.testing.assert_array_equal(written_out(stored, (2, 4), layout), whole)


@pytest.mark.parametrize(
    "layout",
    [
        Layout((0,), (), (Level(3),)),
        Layout((0, 0), (), (Level(3), Level(4))),
        Layout((0, 1), (), (Level(3), Level(2**30))),
        Layout((0, 1), (), (Level(1), Level(0, np.array([2, 0]), np.array([1])))),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout):
    with pytest.raises(ValueError, match=r"levels|ends before"):
        written_out(np.zeros(12, np.float32), (3, 4), layout)


def stored_sparse(model: schema.ModelT) -> np.ndarray:
    """Store the 1×1 kernel of a file sparse; what it was."""
    graph = model.subgraphs[0]
    (index,) = [
        i for i, t in enumerate(graph.tensors)
        if t.shape is not None and len(t.shape) == 4 and tuple(t.shape[1:3]) == (1, 1)
        and model.buffers[t.buffer].data is not None
    ]  # fmt: skip
    tensor = graph.tensors[index]
    outputs, _, _, inputs = (int(side) for side in tensor.shape)
    whole = np.frombuffer(bytes(bytearray(model.buffers[tensor.buffer].data)), np.float32)
    whole = whole.reshape(outputs, inputs)
    stored, columns = rows(whole)
    model.buffers[tensor.buffer].data = np.frombuffer(stored.tobytes(), np.uint8)
    levels = [schema.DimensionMetadataT() for _ in range(4)]
    for level, size in zip(levels, (outputs, 1, 1), strict=False):
        level.denseSize = size
    levels[3].format = schema.DimensionType.SPARSE_CSR
    for name, values in (("Segments", columns.segments), ("Indices", columns.places)):
        vector = schema.Uint8VectorT()
        vector.values = np.asarray(values, np.uint8)
        setattr(levels[3], f"array{name}", vector)
        setattr(levels[3], f"array{name}Type", schema.SparseIndexVector.Uint8Vector)
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder, tensor.sparsity.dimMetadata = [0, 1, 2, 3], levels
    return whole.reshape(outputs, 1, 1, inputs)


def test_a_sparse_kernel_of_a_file_is_read_whole():
    found: list[np.ndarray] = []

    def change(model: schema.ModelT) -> None:
        found.append(stored_sparse(model))

    model = read(repacked("color_float", change))
    (tensor,) = [t for t in model.tensors if t.sparse]
    assert is_sparse(model) and tensor.bytes < 4 * tensor.size
    np.testing.assert_array_equal(tensor.whole(), found[0])
    (kernel,) = [k for k in model.kernels() if k.tensor == tensor.name]
    assert kernel.zeros == np.count_nonzero(found[0] == 0) > 0


def mobile(
    *, pad: int = 1, window: int = 3, zeros: float = 0.7, join: str = "ADD", sparse: bool = True
):
    """A small net of XNNPACK's kind: PAD and 3×3, 1×1, PAD and depthwise, sum with itself, mean."""

    def padded(x: int, sides: int) -> int:
        _, height, width, channels = net.tensors[x].shape
        amounts = np.array([[0, 0], [sides, sides], [sides, sides], [0, 0]], np.int32)
        given = net.tensor((4, 2), "int32", values=amounts)
        shape = (1, height + 2 * sides, width + 2 * sides, channels)
        return net.op("PAD", [x, given], shape, "float32")

    net = Net()
    x = net.input((1, 33, 33, 3), "float32")
    first = net.tensor((8, 3, 3, 3), "float32", values=1)
    strides = {"stride_h": 2, "stride_w": 2, "padding": 1}
    x = net.op("CONV_2D", [padded(x, pad), first], (1, 17, 17, 8), "float32", **strides)
    values = (np.arange(80) >= 80 * zeros).reshape(10, 1, 1, 8)
    point = net.tensor((10, 1, 1, 8), "float32", values=values, sparse=sparse)
    one = {"stride_h": 1, "stride_w": 1, "padding": 0}
    x = net.op("CONV_2D", [x, point], (1, 17, 17, 10), "float32", **one)
    deep = net.tensor((1, window, window, 10), "float32", values=1)
    more = strides | {"depth_multiplier": 1}
    x = net.op("DEPTHWISE_CONV_2D", [padded(x, 1), deep], (1, 9, 9, 10), "float32", **more)
    x = net.op(join, [x, x], (1, 9, 9, 10), "float32")
    axes = net.tensor((2,), "int32", values=1)
    return net.model(net.op("MEAN", [x, axes], (1, 10), "float32"))


def test_nothing_hinders_a_net_of_the_kind():
    assert obstacles(mobile()) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"pad": 0}, "1 CONV_2D: the first must be 3×3 with stride 2"),
        ({"window": 5}, "4 DEPTHWISE_CONV_2D: pads unevenly"),
        ({"window": 7}, "4 DEPTHWISE_CONV_2D: depthwise, but not 3×3 or 5×5"),
        ({"join": "MUL"}, "5 MUL: no op of the sparse kind"),
        ({"sparse": False}, "no kernel is stored sparse"),
        ({"sparse": False, "zeros": 0.6}, "48 of 80 weights of 1×1 convolutions are zero, not"),
    ],
)
def test_each_obstacle_is_named(changed, expected):
    found = obstacles(mobile(**changed))
    assert [line for line in found if line.startswith(expected)], found
