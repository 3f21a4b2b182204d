"""A sparse float .tflite as XNNPACK takes it with its sparse kernels, and what hinders it.

XNNPACK rewrites a graph for sparse inference (channels first, 1×1 convolutions that skip zeros)
when kernels are stored sparse, behind DENSIFY; when it begins with a 3×3 convolution of stride 2 on
three channels and ends in a global mean, with nothing in between but 1×1 and depthwise convolutions
and element-wise ops; when every convolution pads both sides alike; and when more than two thirds of
all 1×1 weights are zero. Sources: ``xnn_check_nchw_compatibility`` and
``xnn_subgraph_rewrite_for_nchw`` in XNNPACK's ``src/subgraph.c``; "Sparse inference" in the README
of TensorFlow Lite's XNNPACK delegate.

On x86 XNNPACK does so only where the CPU has no AVX: it expects its dense kernels to be faster
there (``xnn_is_chw_compatible_config``). ARM has sparse kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.editing import Editor
from tfedge.tflite.model import Graph, Model, Op
from tfedge.tflite.options import SAME, VALID, same_padding

_ELEMENTWISE = frozenset({"ADD", "RELU", "RELU6"})
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_PAD = schema.BuiltinOperator.PAD


def with_explicit_padding(content: bytes) -> bytes:
    """The model with a PAD of its own before every strided convolution that pads both sides alike.

    The converter writes such padding as SAME, whatever the graph says, and XNNPACK's sparse kernels
    take none that depends on the size. The outputs are the same.
    """
    editor = Editor(content)
    named = {vars(schema.BuiltinOperator)[name] for name in _CONVOLUTIONS}
    pads: dict[tuple[int, int], int] = {}
    operators = []
    for op in editor.graph.operators:
        if editor.kind(op) in named and op.builtinOptions.padding == SAME:
            sides = _sides(editor.graph, op)
            if sides and all(before == after for before, after in sides):
                operators.append(_padded(editor, op, sides, pads))
        operators.append(op)
    editor.graph.operators = operators
    return editor.content()


def _sides(graph: Any, op: Any) -> list[tuple[int, int]]:
    """What SAME pads before and after, rows and columns; empty for a stride of 1."""
    options = op.builtinOptions
    if options.strideH == options.strideW == 1:
        return []
    given, kernel = (graph.tensors[op.inputs[i]].shape[1:3] for i in (0, 1))
    strides = options.strideH, options.strideW
    return [
        same_padding(int(size), int(window), stride)
        for size, window, stride in zip(given, kernel, strides, strict=True)
    ]


def _padded(
    editor: Editor, op: Any, sides: list[tuple[int, int]], pads: dict[tuple[int, int], int]
) -> Any:
    """A PAD op for what ``op`` reads; ``op`` then reads that, with VALID."""
    source = int(op.inputs[0])
    given = editor.graph.tensors[source]
    (rows, _), (columns, _) = sides
    if (rows, columns) not in pads:
        wanted = np.array([[0, 0], [rows, rows], [columns, columns], [0, 0]], np.int32)
        pads[rows, columns] = editor.constant(f"paddings_{rows}_{columns}", wanted)
    _, height, width, channels = (int(side) for side in given.shape)
    shape = [1, height + 2 * rows, width + 2 * columns, channels]
    made = editor.computed(f"{editor.name(source)}_padded", shape, given.type)
    op.inputs = [made, *(int(index) for index in op.inputs[1:])]
    op.builtinOptions.padding = VALID
    return editor.op(_PAD, 1, [source, pads[rows, columns]], [made], schema.PadOptionsT())


def is_sparse(model: Model) -> bool:
    """Whether kernels are stored without their zeros."""
    return any(tensor.sparse for tensor in model.tensors)


def obstacles(model: Model) -> list[str]:
    """Why XNNPACK would not take its sparse kernels for this file; empty when it would (on ARM)."""
    graph = model.graphs[0]
    kinds = [op.name for op in graph.ops]
    if "CONV_2D" not in kinds or "MEAN" not in kinds:
        return ["there is no convolution with a global mean behind it"]
    first, last = kinds.index("CONV_2D"), len(kinds) - 1 - kinds[::-1].index("MEAN")
    found = []
    for op in graph.ops[first:last]:
        reason = _obstacle(graph, op, op.index == first)
        found += [f"{op.index} {op.name}: {reason}"] if reason else []
    points = [k for k in model.kernels() if k.op == "CONV_2D" and k.shape[1:3] == (1, 1)]
    zeros, size = sum(k.zeros for k in points), sum(k.size for k in points)
    if 3 * zeros <= 2 * size:
        found.append(f"{zeros:,} of {size:,} weights of 1×1 convolutions are zero, not two thirds")
    return [*found, *([] if is_sparse(model) else ["no kernel is stored sparse"])]


def _obstacle(graph: Graph, op: Op, first: bool) -> str:
    if op.name in ("DENSIFY", "PAD"):
        return ""
    if op.name not in _CONVOLUTIONS:
        shapes = {graph.tensors[index].shape for index in op.inputs}
        plain = op.name in _ELEMENTWISE and all(len(shape) == 4 for shape in shapes)
        return "" if plain and len(shapes) == 1 else "no op of the sparse kind"
    window = graph.tensors[op.inputs[1]].shape[1:3]
    strides = op.option("stride_h"), op.option("stride_w")
    if first:
        inner = graph.tensors[op.inputs[0]].shape[-1]
        plain = window == (3, 3) and strides == (2, 2) and inner == 3
        wanted = "the first must be 3×3 with stride 2 on three channels, one pixel of padding"
        return "" if plain and _pads(graph, op) == (1, 1, 1, 1) else wanted
    if op.name == "CONV_2D":
        plain = window == (1, 1) and strides == (1, 1)
        return "" if plain else f"{'×'.join(map(str, window))}, not 1×1 with stride 1"
    if window not in ((3, 3), (5, 5)) or op.option("depth_multiplier", 1) != 1:
        return "depthwise, but not 3×3 or 5×5"
    even = strides == (1, 1) and op.option("padding") == SAME
    return "" if even or set(_pads(graph, op)) == {window[0] // 2} else "pads unevenly"


def _pads(graph: Graph, op: Op) -> tuple[int, ...]:
    """Rows and columns that a PAD before ``op`` adds; nothing for SAME."""
    makers = {index: maker for maker in graph.ops for index in maker.outputs}
    pad = makers.get(op.inputs[0])
    if pad is None or pad.name != "PAD" or op.option("padding") != VALID:
        return ()
    return tuple(graph.tensors[pad.inputs[1]].values().reshape(-1).tolist()[2:6])


def sparse_layers(model: Model) -> Iterator[tuple[str, float]]:
    """The 1×1 convolutions of a file and their shares of zeros."""
    for kernel in model.kernels():
        if kernel.op == "CONV_2D" and kernel.shape[1:3] == (1, 1):
            yield kernel.tensor, kernel.zeros / kernel.size
