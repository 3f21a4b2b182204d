"""Pools of 8 bits as depthwise convolutions: the numbers of TFLite's own kernel, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.unit.tflite_helpers import DATA, one_op
from tfedge.tflite.editing import Editor
from tfedge.tflite.kernels import with_fast_kernels
from tfedge.tflite.options import SAME, VALID
from tfedge.tflite.pools import with_pools
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import BuiltinLiteRT, LiteRT

CHANNELS = 24
RELU6 = schema.ActivationFunctionType.RELU6


def pool(
    window: int | tuple[int, int],
    stride: int = 1,
    padding: int = VALID,
    side: int = 15,
    zeros: tuple[int, int] = (-7, -7),
    fused: int = 0,
) -> bytes:
    options = schema.Pool2DOptionsT()
    rows, columns = window if isinstance(window, tuple) else (window, window)
    options.filterHeight, options.filterWidth = rows, columns
    options.strideH = options.strideW = stride
    options.padding, options.fusedActivationFunction = padding, fused
    taken = (0, 0) if padding == SAME else (rows - 1, columns - 1)
    made = (1, *(-(-(side - less) // stride) for less in taken), CHANNELS)

    def change(model: Any) -> None:
        model.operatorCodes[0].version = 2
        for tensor, zero in zip(model.subgraphs[0].tensors, zeros, strict=True):
            tensor.quantization.scale = np.array([0.05], np.float32)
            tensor.quantization.zeroPoint = np.array([zero], np.int64)

    given = (1, side, side, CHANNELS)
    return one_op(
        "AVERAGE_POOL_2D", [(given, "int8", None)], [(made, "int8", None)], options, change
    )


def image(side: int = 15) -> np.ndarray:
    return np.random.default_rng(1).integers(-128, 128, (1, side, side, CHANNELS), np.int8)


def ops(content: bytes) -> list[str]:
    return [op.name for op in read(content).ops]


def results(content: bytes, pixels: np.ndarray) -> np.ndarray:
    """Of XNNPACK and of LiteRT's own kernels: the same."""
    (fast,), (builtin,) = (one(content).invoke(pixels) for one in (LiteRT, BuiltinLiteRT))
    assert np.array_equal(fast, builtin)
    return fast.astype(int)


@pytest.mark.parametrize(("window", "stride"), [(1, 2), (3, 1), (3, 2), (5, 1), ((1, 3), 1)])
@pytest.mark.parametrize("zero", [-128, -7, 0, 90])
def test_a_pool_inside_of_the_image_gives_the_same_bytes(
    window: int | tuple[int, int], stride: int, zero: int
) -> None:
    before = pool(window, stride, zeros=(zero, zero))
    after = with_fast_kernels(before)
    assert (ops(before), ops(after)) == (["AVERAGE_POOL_2D"], ["DEPTHWISE_CONV_2D"])
    wanted = results(before, image())
    assert len(np.unique(wanted)) > 20
    assert np.array_equal(results(after, image()), wanted)


@pytest.mark.parametrize("padding", [VALID, SAME])
def test_halves_of_a_pool_of_even_windows_may_go_to_the_other_side(padding: int) -> None:
    """TFLite rounds them away from zero, XNNPACK to the even neighbour."""
    before = pool(2, 2, padding, side=16)
    after = with_fast_kernels(before)
    assert ops(after) == ["DEPTHWISE_CONV_2D"], "no window of them reaches over the border"
    pixels = image(16)
    off = LiteRT(after).invoke(pixels)[0].astype(int) - results(before, pixels)
    windows = pixels.astype(int).reshape(8, 2, 8, 2, CHANNELS)
    halves = windows.sum(axis=(1, 3))[None] % 4 == 2
    assert not off[~halves].any()
    assert 0 < np.count_nonzero(off) < 0.75 * np.count_nonzero(halves) and np.abs(off).max() == 1


@pytest.mark.parametrize(
    ("stride", "side", "reaching"),
    [(1, 7, [0, 6]), (1, 15, [0, 14]), (2, 15, [0, 7]), (2, 16, [7])],
)
def test_windows_over_the_border_are_means_of_what_lies_inside(
    stride: int, side: int, reaching: list[int]
) -> None:
    """Rounded twice, and in between times 1.5 or 2.25, so at most 0.75 or 1.1 off before it is
    rounded again: one step, or two. ``reaching``: rows, and columns, of such windows."""
    before = pool(3, stride, SAME, side)
    after = with_fast_kernels(before)
    assert ops(after) == ["DEPTHWISE_CONV_2D", "MUL"]
    wanted = results(before, image(side))
    at = np.isin(np.arange(wanted.shape[1]), reaching)
    corner = at[:, None] & at[None, :]
    edge = at[:, None] ^ at[None, :]
    for runtime in (LiteRT, BuiltinLiteRT):
        off = np.abs(runtime(after).invoke(image(side))[0].astype(int) - wanted)[0]
        assert not off[~corner & ~edge].any()
        assert off[edge].max() <= 1 and off[corner].max() <= 2
        assert off.mean() < 0.5, "most are the same number"


def test_a_fused_activation_stays_with_the_last_op() -> None:
    for padding in (VALID, SAME):
        before = pool(3, 1, padding, fused=RELU6)
        inside = np.s_[:, 1:-1, 1:-1] if padding == SAME else np.s_[:]
        wanted = results(before, image())[inside]
        assert wanted.min() == -7, "zero is the zero point"
        (made,) = LiteRT(with_fast_kernels(before)).invoke(image())
        assert np.array_equal(made[inside], wanted) and made.min() == -7


@pytest.mark.parametrize(
    "content",
    [
        pool(1, 2),
        pool(3),
        pool((1, 3)),
        pool(2, 2, SAME, 16),
        pool(3, 1, SAME),
        pool(3, 2, SAME, 16, fused=RELU6),
    ],
)
def test_a_compiler_gets_the_pool_back(content: bytes) -> None:
    written = with_fast_kernels(content)
    back = read(with_pools(written))
    (op,), (wanted,) = back.ops, read(content).ops
    assert (op.name, op.version, op.options) == (wanted.name, wanted.version, wanted.options)
    assert [t.name for t in back.tensors] == [t.name for t in read(content).tensors]
    assert len(written) > len(content)


def with_first_number(content: bytes, op: int, number: int) -> bytes:
    """The first number of an op's constant is another."""
    editor = Editor(content)
    constant = editor.graph.tensors[editor.graph.operators[op].inputs[1]]
    stored = editor.model.buffers[constant.buffer]
    stored.data = np.array([number, *np.asarray(stored.data)[1:]], np.uint8)
    return editor.content()


@pytest.mark.parametrize(
    "content",
    [
        with_first_number(with_fast_kernels(pool(3)), 0, 2),
        with_first_number(with_fast_kernels(pool(3, 1, SAME)), 1, 5),
        (DATA / "digits_int8.tflite").read_bytes(),
    ],
    ids=["a kernel that is learnt", "a product with something else", "no pool"],
)
def test_what_is_no_pool_stays_a_convolution(content: bytes) -> None:
    assert with_pools(content) is content


@pytest.mark.parametrize(
    "content", [pool(7), pool(3, zeros=(-7, -8))], ids=["a large window", "another scale"]
)
def test_other_pools_stay_pools(content: bytes) -> None:
    assert with_fast_kernels(content) is content


def test_ones_are_no_kernel_of_the_model() -> None:
    written = with_fast_kernels(pool(3))
    assert read(written).kernels() == []
    other = with_first_number(written, 0, 2)
    assert [kernel.size for kernel in read(other).kernels()] == [9 * CHANNELS]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_kernel_of_fewer_dimensions_is_no_mean(shape: tuple[int, ...]) -> None:
    """No runtime takes such a file, but who looks into it is told."""
    given, bias = ((1, 2, 2, 1), "int8", None), ((1,), "int32", 0)
    parts = [given, (shape, "int8", 1), bias]
    options = schema.DepthwiseConv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    content = one_op("DEPTHWISE_CONV_2D", parts, [given], options, unit)
    assert [kernel.shape for kernel in read(content).kernels()] == [shape]


def unit(model: Any) -> None:
    """The scale of the kernel is one."""
    model.subgraphs[0].tensors[1].quantization.scale = [1.0]
