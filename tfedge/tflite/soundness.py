"""Whether the ops of a file can be what they say: what interpreters take for granted and crash on.

``catalog/builtin_ops.json`` has a row for every builtin op: how many inputs and outputs it takes,
which inputs may be left out, its table of options, and what must hold between them. Shapes of what
is computed are the file's word: an interpreter works them out again, and so they are looked at only
where it would not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tfedge import catalog
from tfedge.tflite.model import Graph, Op, Tensor

_TABLE = Path(catalog.__file__).with_name("builtin_ops.json")
_WHOLE = frozenset({"int16", "int32", "int64"})  # of axes, shapes and sizes
_QUANTIZED = frozenset({"int8", "uint8"})  # where the numbers alone mean nothing
_HANDLES = frozenset({"resource", "variant"})  # made while a model runs: never stored
_OPAQUE = _HANDLES | {"string"}
_MANY_INPUTS = {"FULL": (20, 24), "BASIC": (5,)}  # of LSTM, by its kernel type


@dataclass(frozen=True)
class Form:
    """What every op of one kind looks like; positions are those of its inputs."""

    inputs: tuple[int, int | None]  # least and most; None: any number
    outputs: tuple[int, int | None]
    optional: frozenset[int] = frozenset()  # inputs that may be -1
    options: str | None = None  # the schema's name of their table; None: it has none
    numbers: tuple[int, ...] = ()  # inputs that are axes, shapes or sizes
    single: tuple[int, ...] = ()  # inputs of one element
    scaled: str = ""  # "input", "output" or "all": what of int8 and uint8 must have a scale
    opaque: tuple[str, ...] = ()  # types without numbers that it takes and gives
    least: Mapping[str, int] = field(default_factory=dict)  # of options
    counts: Mapping[str, str] = field(default_factory=dict)  # option -> what it counts
    axis: Mapping[str, Any] = field(default_factory=dict)  # "option" or "input"; "of" which input
    graphs: tuple[str, ...] = ()  # options that are indices of subgraphs
    broadcast: tuple[int, ...] = ()  # inputs whose shapes must fit


@cache
def forms() -> dict[str, Form]:
    """Every builtin op but CUSTOM, by its name in the schema."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))["ops"]
    return {name: _form(**row) for name, row in rows.items()}


def _form(**row: Any) -> Form:
    optional = frozenset(row.pop("optional", ()))
    found: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return Form(optional=optional, **found)


def misformed(op: Op, tables: Sequence[str]) -> str:
    """What of an op by itself is not as ops of its kind are; "" if nothing.

    ``tables`` are the names of the tables of options that it carries.
    """
    form = forms().get(op.name)
    if op.custom or form is None:
        return ""
    return next(_own_problems(form, op, tables), "")


def _own_problems(form: Form, op: Op, tables: Sequence[str]) -> Iterator[str]:
    for what, given, (least, most) in (
        ("inputs", op.inputs, form.inputs),
        ("outputs", op.outputs, form.outputs),
    ):
        if len(given) < least or (most is not None and len(given) > most):
            yield f"has {len(given)} {what}, not {_span(least, most)}"
    for place, index in enumerate(op.inputs):
        if index < 0 and place not in form.optional:
            yield f"lacks its input {place}"
    for table in tables:
        if table != form.options:
            yield f"carries {table}, not {form.options or 'none'}"
    for option, least in form.least.items():
        if op.option(option) < least:
            yield f"has the {option} {op.option(option)}"
    for option, what in form.counts.items():
        count = len(op.inputs if what == "inputs" else op.outputs)
        if op.option(option) != count:
            yield f"has {count} {what}, and {option} {op.option(option)}"
    if op.name == "LSTM":
        kind = "BASIC" if op.option("kernel_type") else "FULL"
        if len(op.inputs) not in _MANY_INPUTS[kind]:
            yield f"of the {kind} kind has {len(op.inputs)} inputs"


def unsound(graphs: Sequence[Graph]) -> str:
    """The first thing in the graphs of a model that does not hold; "" if all does."""
    for graph in graphs:
        for problem in _problems(graph, len(graphs)):
            return problem
    return _endless(graphs)


def _problems(graph: Graph, graphs: int) -> Iterator[str]:
    for tensor in graph.tensors:
        if tensor.is_const and tensor.dtype in _HANDLES:
            yield f"tensor {tensor.index} {tensor.name!r} is a constant {tensor.dtype}"
    yield from _unfed(graph)
    for op in graph.ops:
        form = forms().get(op.name)
        if form is not None and not op.custom:
            for problem in _problems_of(form, op, graph, graphs):
                yield f"op {op.index} {op.name} {problem}"


def _unfed(graph: Graph) -> Iterator[str]:
    """What is read before anything has computed it, and what is written and must not be."""
    tensors = graph.tensors
    fixed = {t.index for t in tensors if t.is_const} | set(graph.inputs)
    # A constant of no elements has no bytes, and so looks as if it were computed.
    known = fixed | {t.index for t in tensors if t.is_variable or not t.size}
    for op in graph.ops:
        for index in op.inputs:
            if index >= 0 and index not in known:
                yield f"op {op.index} {op.name} reads tensor {index}, which nothing has computed"
        for index in op.outputs:
            if index in fixed:
                yield f"op {op.index} {op.name} writes tensor {index}, which is not its own"
            fixed.add(index)
            known.add(index)
    for index in graph.outputs:
        if index not in known:
            yield f"the graph gives tensor {index}, which nothing has computed"


def _problems_of(form: Form, op: Op, graph: Graph, graphs: int) -> Iterator[str]:
    tensors, known = graph.tensors, frozenset(graph.inputs)
    given = [tensors[index] if index >= 0 else None for index in op.inputs]
    for place in form.numbers:
        tensor = given[place] if place < len(given) else None
        if tensor is not None and tensor.dtype not in _WHOLE:
            yield f"takes {tensor.dtype} for its input {place}, a shape or an axis"
    for place in form.single:
        tensor = given[place]
        if tensor is not None and (tensor.is_const or not tensor.size) and tensor.size != 1:
            yield f"takes {tensor.size} numbers for its input {place}, not 1"
    yield from _axes(form, op, given)
    yield from _types(form, op, given, [tensors[index] for index in op.outputs])
    if op.name == "STRIDED_SLICE" and op.option("offset"):
        yield from _beyond(given)
    for index in _called(form, op):
        if not 0 <= index < graphs:
            yield f"calls subgraph {index} of {graphs}"
    yield from _unfit(form, given, known)


def _types(
    form: Form, op: Op, given: Sequence[Tensor | None], made: Sequence[Tensor]
) -> Iterator[str]:
    sides = {"input": given[:1], "output": made[:1], "all": [*given, *made], "": ()}
    for tensor in sides[form.scaled]:
        if tensor is not None and tensor.dtype in _QUANTIZED and tensor.quantization is None:
            yield f"takes or gives {tensor.dtype} without a scale, tensor {tensor.index}"
    for tensor in (*given, *made):
        if tensor is not None and tensor.dtype in _OPAQUE and tensor.dtype not in form.opaque:
            yield f"takes or gives {tensor.dtype}, tensor {tensor.index}"


def _axes(form: Form, op: Op, given: Sequence[Tensor | None]) -> Iterator[str]:
    if not form.axis:
        return
    data = given[form.axis["of"]]
    if "input" in form.axis:
        tensor = given[form.axis["input"]]
        axes = _numbers(tensor)
    else:
        value = op.options.get(form.axis["option"], 0)
        axes = value if isinstance(value, tuple) else (op.option(form.axis["option"]),)
    # A shape of nothing is a number, or not known.
    if data is None or not data.shape:
        return
    rank = len(data.shape) + form.axis.get("new", 0)
    for axis in axes:
        if not -rank <= axis < rank:
            yield f"has the axis {axis} in {len(data.shape)} dimensions"


def _numbers(tensor: Tensor | None) -> tuple[int, ...]:
    """The values of a constant of whole numbers; none for anything else."""
    if tensor is None or not tensor.is_const or tensor.dtype not in _WHOLE or tensor.sparse:
        return ()
    return tuple(tensor.values().ravel().tolist())


def _beyond(given: Sequence[Tensor | None]) -> Iterator[str]:
    """Of a slice whose ends are counted from its begins, and are not held inside by anything."""
    data, begins, lengths = given[0], _numbers(given[1]), _numbers(given[2])
    if data is not None and begins and lengths:
        for side, begin, length in zip(data.shape, begins, lengths, strict=False):
            if begin < 0 or length < 0 or begin + length > side:
                yield f"takes {length} from {begin} on of {side}"


def _unfit(form: Form, given: Sequence[Tensor | None], known: frozenset[int]) -> Iterator[str]:
    """Shapes that do not go together, as numpy has it, of what is ``known``: the shape of what is
    computed is but a note in the file."""
    shapes = [
        tensor.shape
        for place in form.broadcast
        if (tensor := given[place]) is not None
        and (tensor.is_const or tensor.index in known)
        and -1 not in tensor.shape_signature
    ]
    longest = max(map(len, shapes), default=0)
    padded = [(1,) * (longest - len(shape)) + shape for shape in shapes]
    if any(len(set(sides) - {1}) > 1 for sides in zip(*padded, strict=True)):
        yield f"takes shapes that don't fit: {', '.join(str(list(shape)) for shape in shapes)}"


def _called(form: Form, op: Op) -> list[int]:
    found: list[int] = []
    for option in form.graphs:
        value = op.options.get(option, 0)
        found += [int(index) for index in (value if isinstance(value, tuple) else (value,))]
    return found


def _endless(graphs: Sequence[Graph]) -> str:
    """A subgraph that calls itself, if through others; "" if none does."""
    calls = [
        {i for op in graph.ops if (form := forms().get(op.name)) for i in _called(form, op)}
        for graph in graphs
    ]
    left = set(range(len(graphs)))
    while done := {index for index in left if not calls[index] & left}:
        left -= done
    return f"subgraph {min(left)} calls itself" if left else ""


def _span(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"
