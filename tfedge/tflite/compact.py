"""A .tflite as it ships: each tensor called what its layer is called, nothing stored twice.

The converter names a tensor by all graph operations that went into it
(``tfedge/quant_Conv1_relu/Relu6;tfedge/quant_bn_Conv1/FusedBatchNormV3;…``). Here a result bears
the name of the layer that it is the result of, a constant the name of the layer that reads it and
what it is there: ``Conv1_relu``, ``Conv1/kernel``, ``Conv1/bias``. Inputs and outputs keep theirs,
by which programs look for them. What the file computes does not change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tfedge.tflite.editing import Editor
from tfedge.tflite.model import UNPACKING
from tfedge.tflite.reader import OP_NAMES

_OWNS_KERNEL = re.compile("(?:[^/]*/)*(?:Conv2D|depthwise|MatMul)")
_KERNEL_AND_BIAS = {1: "kernel", 2: "bias"}
# What an op calls its constants, by input.
_ROLES: Mapping[str, Mapping[int, str]] = {
    "CONV_2D": _KERNEL_AND_BIAS,
    "DEPTHWISE_CONV_2D": _KERNEL_AND_BIAS,
    "FULLY_CONNECTED": _KERNEL_AND_BIAS,
    "MEAN": {1: "axes"},
    "PAD": {1: "paddings"},
    "RESHAPE": {1: "shape"},
}


def compact(content: bytes, *, scope: str, prefix: str = "") -> bytes:
    """The same model, smaller; of one subgraph.

    ``scope``: what the names of all layers' operations begin with, as Keras has it from the
    model's name. ``prefix``: what stands before the names of layers, and is left out.
    """
    editor = Editor(content)
    _Names(editor, scope, prefix).give()
    _share_empty(editor)
    return editor.content()


class _Names:
    """Gives the tensors of a graph their names, each of them once."""

    def __init__(self, editor: Editor, scope: str, prefix: str) -> None:
        graph = editor.graph
        self._old, self._tensors = editor.name, graph.tensors
        self._scope, self._prefix = scope, prefix
        self._ops = [(op, OP_NAMES[editor.kind(op)]) for op in graph.operators]
        self._makers = {int(index): op for op, _ in self._ops for index in op.outputs}
        self._unpacked = {
            int(op.outputs[0])
            for op, kind in self._ops
            if kind in UNPACKING and int(op.inputs[0]) not in self._makers
        } - {int(index) for index in graph.outputs}
        kept = {int(index) for index in (*graph.inputs, *graph.outputs)}
        self._given = {index: self._old(index) for index in kept}
        self._taken = set(self._given.values())

    def give(self) -> None:
        last = self._last_ops()
        for op, kind in self._ops:
            owner = self._owner(op, kind) or kind.lower()
            for place, index in enumerate(map(int, op.inputs)):
                if place == 0 and int(op.outputs[0]) in self._unpacked:
                    continue  # its reader says what it is
                self._constant(index, f"{owner}/{_ROLES.get(kind, {}).get(place, 'constant')}")
        for op, kind in self._ops:
            for index in map(int, op.outputs):
                of = self._layers(self._old(index))[0]
                inside = f"{of}/{kind.lower()}" if of else kind.lower()
                self._name(index, of if of and last[of] is op else inside)
        for index, tensor in enumerate(self._tensors):
            tensor.name = self._given.get(index, tensor.name)

    def _constant(self, index: int, name: str) -> None:
        """Name a constant; also one that is made from one that is stored in another form."""
        if index >= 0 and index not in self._makers:
            self._name(index, name)
        elif index in self._unpacked:
            self._name(index, f"{name}/unpacked")
            self._constant(int(self._makers[index].inputs[0]), name)

    def _last_ops(self) -> dict[str, Any]:
        """The op that gives a layer's result, by layer: its last."""
        return {
            self._layers(self._old(int(index)))[0]: op
            for op, _ in self._ops
            for index in op.outputs
        }

    def _owner(self, op: Any, kind: str) -> str:
        """The layer that an op's constants are of: the one that has the kernel, if any."""
        names = [self._old(int(index)) for index in op.outputs]
        if _ROLES.get(kind) is _KERNEL_AND_BIAS:
            names = [self._old(int(op.inputs[1])), *names]
        parts = [part for name in names for part in name.split(";") if part]
        owning = [part for part in parts if _OWNS_KERNEL.match(part)]
        return self._layer([*owning, *parts, ""][0])

    def _layers(self, name: str) -> list[str]:
        return [self._layer(part) for part in name.split(";") if part] or [""]

    def _layer(self, part: str) -> str:
        """The layer that a graph operation is of; "" where it is none's."""
        if "/" not in part:
            return ""
        steps = part.split("/")
        inside = steps[1:] if steps[0] == self._scope and len(steps) > 1 else steps
        return inside[0].removeprefix(self._prefix)

    def _name(self, index: int, name: str) -> None:
        if index not in self._given:
            self._given[index] = next(one for one in _numbered(name) if one not in self._taken)
            self._taken.add(self._given[index])


def _numbered(name: str) -> Iterator[str]:
    """``name``, then ``name_2``, ``name_3`` …"""
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _share_empty(editor: Editor) -> None:
    """What is computed needs no buffer of its own: the first one is empty by the schema's rule."""
    for index, tensor in enumerate(editor.graph.tensors):
        if not tensor.isVariable and not editor.is_constant(index):
            tensor.buffer = 0
    editor.drop_unused_buffers()
