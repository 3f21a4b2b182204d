"""Time per op: by LiteRT's own profiler where it can be had, else by cutting the model.

A model is cut after each op in turn and timed; the differences are the ops' times.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any, Sequence

import numpy as np

from tfedge.benchmark.script.litert_profiler import ProfileError, Row, profile_in_process
from tfedge.benchmark.script.shapes import resize

PASSES = 3  # over all cuts, so that a busy moment does not hit one of them alone
CUT_RUNS = 20  # inferences of a cut in each pass


def profile(path: str, module: Any, words: dict, runs: int, script: str, shape: str = "") -> dict:
    """Time per op of a model with an interpreter's module and its arguments; says how it was found
    and how far it can be trusted. ``method`` none: it can't be told, ``error`` says why."""
    reasons = []
    if shape:  # its compiled models take the shapes of the file
        reasons.append("LiteRT's profiler: takes no --shape")
    elif module.__name__.startswith("ai_edge_litert") and "experimental_delegates" not in words:
        xnnpack = "experimental_op_resolver_type" not in words
        try:
            rows = profile_in_process(script, path, words["num_threads"], runs, xnnpack)
            error = "whole microseconds an op, XNNPACK's rounded down and half of one added"
            return grouped("litert-profiler", error, rows)
        except ProfileError as refused:
            reasons.append(f"LiteRT's profiler: {refused}")
    try:
        rows, far = time_cuts(path, module, words, shape)
    except (ValueError, RuntimeError, OverflowError, AttributeError) as refused:
        return grouped("none", "; ".join([*reasons, f"cutting: {refused}"]), [])
    told = (
        f"an op +- {far / 1000:.1f} us, types better: differences of the cuts' shortest times; "
        "what is fused beyond a cut counts in full"
    )
    return grouped("graph-cut", "; ".join([told, *reasons]), rows)


def grouped(method: str, error: str, rows: Sequence[Row]) -> dict:
    """The JSON of a profile; types in the order of their time."""
    total = sum(row[3] for row in rows)
    types: dict = {}
    for _, op, _, ns in rows:
        one = types.setdefault(op, {"op": op, "count": 0, "ns": 0.0})
        one["count"] += 1
        one["ns"] += ns
    listed = sorted(types.values(), key=lambda one: -one["ns"])
    return {
        "method": method,
        "error": error,
        "types": [{**one, "share": one["ns"] / total} for one in listed],
        "ops": [dict(zip(("index", "op", "name", "ns"), row)) for row in rows],
    }


class Cut:
    """A model's file whose main subgraph can be cut after any of its ops.

    The flatbuffer is changed in place: the main subgraph's operators become fewer, and its outputs
    those of the last of them. What stands nowhere in a model raises ValueError or OverflowError.
    """

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        graphs = self.follow(self.number(0), 2) + 4  # Model.subgraphs
        graph = graphs + self.number(graphs)
        self.operators = self.follow(graph, 3)
        self.outputs = graph + self.number(self.vtable(graph) + 8, 2)  # SubGraph.outputs: the field
        self.ends = []
        first = self.operators + 4
        for at in range(first, first + 4 * self.number(self.operators), 4):
            self.ends.append(self.follow(at + self.number(at), 2))  # Operator.outputs

    def after(self, op: int) -> bytes:
        """The model up to that op, whose outputs are the model's."""
        self.put(self.operators, op + 1)
        self.put(self.outputs, self.ends[op] - self.outputs)
        return bytes(self.data)

    def output(self, op: int) -> int:
        """The index of the op's first output."""
        return self.number(self.ends[op] + 4)

    def number(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.data[at : at + size], "little")

    def put(self, at: int, value: int) -> None:
        self.data[at : at + 4] = value.to_bytes(4, "little")

    def vtable(self, table: int) -> int:
        """A table begins with how far before it its vtable lies."""
        return table - int.from_bytes(self.data[table : table + 4], "little", signed=True)

    def follow(self, table: int, slot: int) -> int:
        """Where the field of a table leads."""
        vtable = self.vtable(table)
        place = 4 + 2 * slot
        offset = self.number(vtable + place, 2) if place < self.number(vtable, 2) else 0
        if not offset:
            raise ValueError("an op without outputs")
        return table + offset + self.number(table + offset)


def time_cuts(path: str, module: Any, words: dict, shape: str = "") -> tuple[list[Row], float]:
    """A row for each op, and by how many nanoseconds a cut's time moves from pass to pass.

    The shortest time of each cut: what else the machine does only ever adds, and a difference of
    two medians would carry the noise of both. Still an op may come out below zero.
    """
    cut = Cut(Path(path).read_bytes())
    whole = zeroed_interpreter(module, words, shape, model_path=path)
    named = {tensor["index"]: tensor["name"] for tensor in whole.get_tensor_details()}
    ops = whole._get_ops_details()
    del whole
    times: list[list[int]] = [[] for _ in cut.ends]
    for _ in range(PASSES):
        for op, found in enumerate(times):
            part = zeroed_interpreter(module, words, shape, model_content=cut.after(op))
            found.append(min(timed(part.invoke) for _ in range(CUT_RUNS)))
    best = [min(found) for found in times]
    rows: list[Row] = []
    for op, ns in enumerate(best):
        before = best[op - 1] if op else 0
        rows.append((op, ops[op]["op_name"], named.get(cut.output(op)), ns - before))
    return rows, median(max(found) - min(found) for found in times)


def zeroed_interpreter(module: Any, words: dict, shape: str, **source: Any) -> Any:
    """An interpreter whose inputs are zeros."""
    interpreter = module.Interpreter(**source, **words)
    resize(interpreter, shape)
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], np.zeros(port["shape"], port["dtype"]))
    return interpreter


def timed(invoke: Any) -> int:
    """Nanoseconds of one call."""
    start = time.perf_counter_ns()
    invoke()
    return time.perf_counter_ns() - start
