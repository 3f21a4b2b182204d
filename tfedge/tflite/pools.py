"""8-bit AVERAGE_POOL_2D as the depthwise convolution that it is, and back.

XNNPACK has no 8-bit kernel for it, so LiteRT's own runs it, a number at a time on x86, and cuts the
graph: 3.6 of 11 ms of a NASNetMobile, where XNNPACK's depthwise kernels take 0.4 (LiteRT 2.3). The
mean of a window is the sum of its numbers, each times one part of the window.

Numbers come out as they did, but for two cases. A pool of 2×2 has halves, which TFLite's kernel
rounds away from zero and XNNPACK to the even neighbour. And with SAME, windows that reach over the
border have fewer numbers: their sum is divided by all taps and multiplied by what is missing
(9/6 at an edge, 9/4 in a corner, which 8 bits hold exactly), so it is rounded twice; it ends one
step from TFLite's number at most at an edge, two in a corner.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.editing import Editor, of_scale
from tfedge.tflite.options import SAME, same_padding

_Builtin = schema.BuiltinOperator
# As large as it can be: LiteRT's own kernels round twice, the first time to a part of this.
_ONE = 127


def as_convolution(editor: Editor, op: Any, most: int) -> list[Any]:
    """The ops to put in the place of an AVERAGE_POOL_2D of int8: itself where its windows have more
    than ``most`` taps, or where its result has another scale than what it reads."""
    pool = op.builtinOptions
    given, made = (editor.graph.tensors[index] for index in (op.inputs[0], op.outputs[0]))
    taps = int(pool.filterHeight * pool.filterWidth)
    if taps > most or not _alike(given, made):
        return [op]
    inside = _taps_inside(pool, (pool.filterHeight, pool.filterWidth), given.shape, made.shape)
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.depthMultiplier = pool.padding, 1
    options.strideH, options.strideW = pool.strideH, pool.strideW
    options.dilationHFactor = options.dilationWFactor = 1
    name = editor.name(op.outputs[0])
    inputs = [int(op.inputs[0]), *_ones(editor, pool, given, name)]
    if (inside == taps).all():
        options.fusedActivationFunction = pool.fusedActivationFunction
        return [editor.op(_Builtin.DEPTHWISE_CONV_2D, 3, inputs, op.outputs, options)]
    between = copy.copy(made)
    between.name = f"{name}/all_taps"
    sums = editor.add(between)
    values, scale = _factors(taps / inside)
    factors = editor.constant(f"{name}/factors", values, of_scale(scale))
    product = schema.MulOptionsT()
    product.fusedActivationFunction = pool.fusedActivationFunction
    return [
        editor.op(_Builtin.DEPTHWISE_CONV_2D, 3, inputs, [sums], options),
        editor.op(_Builtin.MUL, 2, [sums, factors], op.outputs, product),
    ]


def _ones(editor: Editor, pool: Any, given: Any, name: str) -> tuple[int, int]:
    """The kernel and the bias of the convolution."""
    shape = (1, int(pool.filterHeight), int(pool.filterWidth), int(given.shape[-1]))
    scale = _scale(shape[1] * shape[2])
    kernel = editor.constant(f"{name}/kernel", np.full(shape, _ONE, np.int8), of_scale(scale))
    of_sums = of_scale(np.float32(given.quantization.scale[0]) * scale)
    return kernel, editor.constant(f"{name}/bias", np.zeros(shape[-1], np.int32), of_sums)


def _scale(taps: int) -> np.float32:
    """Of the kernel, so that each of its numbers is one part of the window."""
    return np.float32(1 / (_ONE * taps))


def _factors(exact: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Factors [rows, columns] of at least one as int8 [1, rows, columns, 1] and a scale: the fewest
    parts of one that come nearest to all of them."""
    most = int(np.iinfo(np.int8).max / exact.max())
    errors = [np.abs(np.rint(exact * parts) / parts - exact).max() for parts in range(1, most + 1)]
    parts = 1 + int(np.argmin(np.round(errors, 9)))
    values = np.rint(exact * parts).astype(np.int8)[None, :, :, None]
    return values, np.float32(1 / parts)


def _taps_inside(
    options: Any, window: tuple[int, int], given: np.ndarray, made: np.ndarray
) -> np.ndarray:
    """How many taps of each window lie inside of the image, int [rows, columns]."""
    strides = options.strideH, options.strideW
    sides = zip(window, strides, map(int, given[1:3]), map(int, made[1:3]), strict=True)
    rows, columns = (_inside(options.padding == SAME, *side) for side in sides)
    return np.outer(rows, columns)


def _inside(padded: bool, window: int, stride: int, given: int, made: int) -> np.ndarray:
    """… of one side."""
    before = same_padding(given, window, stride)[0] if padded else 0
    starts = np.arange(made) * stride - before
    return np.minimum(starts + window, given) - np.maximum(starts, 0)


def _alike(one: Any, other: Any) -> bool:
    """Whether the same bytes are the same numbers in two tensors."""
    pairs = [(t.type, [*t.quantization.scale], [*t.quantization.zeroPoint]) for t in (one, other)]
    return bool(pairs[0] == pairs[1])


def with_pools(content: bytes) -> bytes:
    """The model with AVERAGE_POOL_2D again where ``as_convolution`` wrote something else: for
    compilers, which know what to do with a pool. Other files stay as they are."""
    editor = Editor(content)
    graph = editor.graph
    ends = [(op, last) for op in graph.operators if (last := _written_by_us(editor, op))]
    if not ends:
        return content
    for op, last in ends:
        graph.operators[graph.operators.index(op)] = _pool(editor, op, last)
        if last is not op:
            graph.operators.remove(last)
    editor.drop_unused()
    return editor.content()


def _written_by_us(editor: Editor, op: Any) -> Any:
    """The last op of a pool that begins with ``op``; None where it is none."""
    if editor.kind(op) != _Builtin.DEPTHWISE_CONV_2D:
        return None
    given, kernel, made = (
        editor.graph.tensors[index] for index in (*map(int, op.inputs[:2]), int(op.outputs[0]))
    )
    ones = editor.values(int(op.inputs[1]), np.int8)
    taps = int(np.prod(kernel.shape[1:3]))
    if ones is None or (ones != _ONE).any() or not _alike(given, made):
        return None
    if [*kernel.quantization.scale] != [_scale(taps)]:
        return None
    window = (int(kernel.shape[1]), int(kernel.shape[2]))
    inside = _taps_inside(op.builtinOptions, window, given.shape, made.shape)
    if (inside == taps).all():
        return op
    readers = [one for one in editor.graph.operators if int(op.outputs[0]) in map(int, one.inputs)]
    if len(readers) != 1 or editor.kind(readers[0]) != _Builtin.MUL:
        return None
    factors = editor.values(int(readers[0].inputs[1]), np.int8)
    wanted, _ = _factors(taps / inside)
    return readers[0] if factors is not None and np.array_equal(factors, wanted.ravel()) else None


def _pool(editor: Editor, op: Any, last: Any) -> Any:
    """The AVERAGE_POOL_2D that reads what ``op`` reads and gives what ``last`` gives."""
    written, options = op.builtinOptions, schema.Pool2DOptionsT()
    _, rows, columns, _ = map(int, editor.graph.tensors[op.inputs[1]].shape)
    options.filterHeight, options.filterWidth = rows, columns
    options.padding = written.padding
    options.strideH, options.strideW = written.strideH, written.strideW
    options.fusedActivationFunction = last.builtinOptions.fusedActivationFunction
    inputs = [int(op.inputs[0])]
    return editor.op(_Builtin.AVERAGE_POOL_2D, 2, inputs, last.outputs, options)
