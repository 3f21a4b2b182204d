"""What Google's Edge TPU compiler will make of a model, told without the compiler; and what it
made of one that is compiled. The rules for single ops are in :mod:`tfedge.edgetpu.edgetpu_rules`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tfedge.edgetpu import darwinn, edgetpu_rules
from tfedge.edgetpu.darwinn import CUSTOM_OP
from tfedge.edgetpu.edgetpu_rules import Verdict
from tfedge.tflite.model import WEIGHTED, Graph, Model, Tensor

TPU, CPU = "tpu", "cpu"
REFUSED = "file refused"  # statuses of ops, beside those of the rules
LEFT = "left to the CPU by the compiler"
_MOST_BLOCKERS = 3  # ops that are told of as keeping others from the chip
ON_CHIP = 8_073_216  # bytes: 7.7 MiB, what the compiler says is left beside an almost empty model


@dataclass(frozen=True)
class Placed:
    """Where an op runs. ``status`` and ``reason`` are empty for the Edge TPU."""

    index: int
    op: str
    target: str
    status: str = ""  # as in edgetpu_rules: UNSUPPORTED …
    reason: str = ""


@dataclass(frozen=True)
class Mapping:
    """For a model that is not compiled, what is predicted; for a compiled one, what the file tells.

    Bytes are of parameters in the chip's layout: estimated, or as compiled. ``total`` counts the
    ops of the file. A compiled file no longer tells what its ``edgetpu-custom-op`` was made of: it
    counts as one op that is mapped.
    """

    compiled: bool
    ops: tuple[Placed, ...]
    subgraphs: int  # edgetpu-custom-ops that there are, or will be
    runs: int  # stretches of ops that could be mapped; only the first is
    parameter_bytes: int
    streamed_bytes: int  # of these, what does not fit on the chip: sent in every inference
    min_runtime: int | None = None  # of the Edge TPU runtime; compiled files tell it
    compiler: str = ""
    notes: tuple[str, ...] = ()  # what to change, the most useful first

    @property
    def total(self) -> int:
        return len(self.ops)

    @property
    def mapped(self) -> int:
        return sum(op.target == TPU for op in self.ops)


def predict(model: Model) -> Mapping:
    """The mapping of a model, compiled or not. Looks at the main graph only, as the compiler."""
    graph = model.graphs[0]
    if any(op.custom and op.name == CUSTOM_OP for op in graph.ops):
        return _compiled(graph)
    refused = {op.index: edgetpu_rules.refusal(op, graph.tensors) for op in graph.ops}
    verdicts = {op.index: edgetpu_rules.judge(op, graph.tensors) for op in graph.ops}
    runs = supported_runs(graph, {i for i, verdict in verdicts.items() if verdict is None})
    first = set(runs[0]) if runs else set()
    culprit = next((index for index, verdict in refused.items() if verdict), None)
    blockers = _blockers(graph, verdicts, first)
    behind: Counter[int] = Counter()
    placed = []
    for op in graph.ops:
        verdict = refused[op.index] or verdicts[op.index]
        if verdict is None and culprit is not None:
            bad = graph.ops[culprit]
            verdict = Verdict(REFUSED, f"because of op {culprit} {bad.name}")
        elif verdict is None and op.index not in first:
            blocker = blockers.get(op.index, op.index)  # itself: it waits for its own output
            behind[blocker] += 1
            name = f"op {blocker} {graph.ops[blocker].name}"
            verdict = Verdict(edgetpu_rules.SUBGRAPH, f"behind {name}, which runs on the CPU")
        if verdict is None:
            placed.append(Placed(op.index, op.name, TPU))
        else:
            text = f"{verdict.status}: {verdict.detail}"
            placed.append(Placed(op.index, op.name, CPU, verdict.status, text))
    mapped = {op.index for op in placed if op.target == TPU}
    parameters = _parameters(graph, mapped)
    return Mapping(
        compiled=False,
        ops=tuple(placed),
        subgraphs=1 if mapped else 0,
        runs=len(runs),
        parameter_bytes=parameters,
        streamed_bytes=max(0, parameters - ON_CHIP),
        notes=_notes(graph, placed, parameters, behind, len(runs)),
    )


def supported_runs(graph: Graph, supported: set[int]) -> list[list[int]]:
    """The ops that can be mapped, in stretches that need nothing from the CPU in between.

    As TensorFlow Lite cuts a graph for a delegate: the first op that is ready decides whether a
    stretch is for the chip or the CPU, and every op of that kind joins it whose inputs are there.
    The compiler maps the first stretch for the chip.
    """
    missing: dict[int, int] = {}  # op -> inputs that are not computed yet
    readers: dict[int, list[int]] = {}
    made = {index for op in graph.ops for index in op.outputs}
    for op in graph.ops:
        needs = set(op.inputs) & made
        missing[op.index] = len(needs)
        for index in needs:
            readers.setdefault(index, []).append(op.index)
    ready = [op.index for op in graph.ops if not missing[op.index]]
    runs = []
    while ready:
        kind = min(ready) in supported
        stretch: list[int] = []
        later = []
        while ready:
            index = ready.pop()
            if (index in supported) != kind:
                later.append(index)
                continue
            stretch.append(index)
            for output in set(graph.ops[index].outputs):
                for reader in readers.pop(output, ()):
                    missing[reader] -= 1
                    if not missing[reader]:
                        ready.append(reader)
        ready = later
        if kind:
            runs.append(sorted(stretch))
    return runs


def _blockers(graph: Graph, verdicts: dict[int, Verdict | None], first: set[int]) -> dict[int, int]:
    """For each op outside of the first stretch, the op on the CPU that keeps it from there.

    Of several, the earliest that is not only there to change the data type for another one.
    """
    makers = {output: op.index for op in graph.ops for output in op.outputs}
    found: dict[int, tuple[bool, int]] = {}
    for op in graph.ops:
        if op.index in first:
            continue
        verdict = verdicts[op.index]
        before = [found[makers[i]] for i in op.inputs if i in makers and makers[i] in found]
        if verdict is not None:
            before.append((verdict.status == edgetpu_rules.DATA_TYPE, op.index))
        if before:
            found[op.index] = min(before)
    return {index: blocker for index, (_, blocker) in found.items()}


# ---------------------------------------------------------------------------------- parameters


def _parameters(graph: Graph, mapped: set[int]) -> int:
    """Bytes of the parameters of these ops in the chip's layout, estimated.

    Output channels are padded (to 16, 32 or a multiple of 64), each has 12 bytes beside its
    weights, and everything starts at a multiple of 64. Nine of ten compiled models are within 8 %.
    """
    seen: set[int] = set()
    total = 0
    for op in graph.ops:
        if op.index not in mapped:
            continue
        kernels = op.inputs[1:9] if op.name.endswith("LSTM") else ()
        if op.name in WEIGHTED:
            position = WEIGHTED[op.name][1]
            kernels = op.inputs[position : position + 1]
        for index in kernels:
            if index >= 0 and index not in seen and graph.tensors[index].is_const:
                seen.add(index)
                total += _kernel_bytes(op.name, graph.tensors[index])
    return total


def _kernel_bytes(op: str, kernel: Tensor) -> int:
    shape = kernel.shape or (1,)
    channels = shape[-1] if op == "DEPTHWISE_CONV_2D" else shape[0]
    if not channels:
        return 0
    padded = next((n for n in (16, 32) if channels <= n), math.ceil(channels / 64) * 64)
    return _aligned(padded * (kernel.size // channels)) + _aligned(12 * padded)


def _aligned(size: int) -> int:
    return math.ceil(size / 64) * 64


# ------------------------------------------------------------------------------------ compiled


def _compiled(graph: Graph) -> Mapping:
    placed = []
    programs: list[darwinn.Program] = []
    notes = []
    for op in graph.ops:
        if not (op.custom and op.name == CUSTOM_OP):
            placed.append(Placed(op.index, op.name, CPU, LEFT, LEFT))
            continue
        placed.append(Placed(op.index, op.name, TPU))
        try:
            carried = b"" if op.custom_options is None else op.custom_options.tobytes()
            programs.append(darwinn.read(carried))
        except darwinn.Broken as error:
            notes.append(f"the program in op {op.index} can't be read: {error}")
    streamed = sum(program.streamed for program in programs)
    subgraphs = sum(op.target == TPU for op in placed)
    return Mapping(
        compiled=True,
        ops=tuple(placed),
        subgraphs=subgraphs,
        runs=subgraphs,
        parameter_bytes=streamed + sum(program.cached for program in programs),
        streamed_bytes=streamed,
        min_runtime=max((program.min_runtime for program in programs), default=None),
        compiler=next((program.compiler for program in programs if program.compiler), ""),
        notes=tuple(notes),
    )


# --------------------------------------------------------------------------------- what to change


def _notes(
    graph: Graph, placed: Sequence[Placed], parameters: int, behind: Counter[int], runs: int
) -> tuple[str, ...]:
    notes = []
    cpu = [op for op in placed if op.target == CPU]
    statuses = {op.status for op in cpu}
    if edgetpu_rules.DYNAMIC in statuses:
        notes.append("the compiler refuses this file: convert it with fixed shapes, batch 1")
    if edgetpu_rules.TOO_NEW in statuses:
        notes.append(
            "the compiler refuses this file: convert it with TensorFlow 2.6 or older, or without "
            "what needs the ops that are too new"
        )
    if statuses == {edgetpu_rules.DATA_TYPE} and len(cpu) == len(placed):
        notes.append("the model is not quantized: convert it to int8, with calibration data")
    elif any(_is_cast_at_an_end(graph, op) for op in cpu):
        notes.append(
            "inputs or outputs are float: convert with inference_input_type and "
            "inference_output_type uint8 or int8"
        )
    for index, count in behind.most_common(_MOST_BLOCKERS):
        ops = f"{count} op{'s' if count > 1 else ''}"
        op = placed[index]
        notes.append(f"op {index} {op.op} keeps {ops} behind it from the chip: {op.reason}")
    if runs > 1:
        more = sum(op.status == edgetpu_rules.SUBGRAPH for op in cpu)
        notes.append(
            f"edgetpu_compiler -a (experimental) may map {more} ops more, in {runs} subgraphs; "
            "each hand-over to the CPU and back costs time"
        )
    if any(graph.tensors[i].shape_signature != graph.tensors[i].shape for i in graph.inputs):
        notes.append("an input has an open dimension: the compiler takes the shape in the file")
    if parameters > ON_CHIP:
        notes.append(
            f"parameters take about {parameters / 1e6:.1f} MB and the chip keeps about "
            f"{ON_CHIP / 1e6:.1f}: the rest is sent in every inference. A narrower model, or one "
            "cut into segments for several chips, stays on the chip"
        )
    return tuple(notes)


def _is_cast_at_an_end(graph: Graph, op: Placed) -> bool:
    """Whether it turns a float input into 8 bits, or 8 bits into a float output."""
    ends = {
        "QUANTIZE": (graph.ops[op.index].inputs, graph.inputs),
        "DEQUANTIZE": (graph.ops[op.index].outputs, graph.outputs),
    }
    tensors, outside = ends.get(op.op, ((), ()))
    return op.status == edgetpu_rules.DATA_TYPE and bool({*tensors} & {*outside})
