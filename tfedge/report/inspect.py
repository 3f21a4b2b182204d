"""What ``tfedge inspect`` prints: the facts of a .tflite, sized for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from tfedge.edgetpu.edgetpu import LEFT, REFUSED
from tfedge.edgetpu.edgetpu_rules import SUBGRAPH
from tfedge.files.text import WIDTH, columns, count_of, size_text
from tfedge.tasks.blocks import percent
from tfedge.tflite.model import WEIGHTED

_NAME = 44  # columns of a tensor's name
_MOST_REASONS = 12  # rows of ops that stay on the CPU
_MOST_KERNELS = 12
_MOST_NAMES = 20
_SHARED = frozenset({SUBGRAPH, REFUSED, LEFT})  # statuses that are another op's doing

Facts = Mapping[str, Any]


def text(facts: Facts) -> str:
    """``facts`` is what ``edgetpu.inspect`` found, as JSON; lines of at most 100 columns."""
    facts = _escaped(
        {name: value for name, value in facts.items() if name not in ("ops", "tensors")}
    )
    blocks = [
        _head(facts),
        _ends(facts),
        _ops(facts),
        _kernels(facts),
        _edgetpu(facts["edgetpu"]),
        _notes(facts["edgetpu"]["notes"]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _escaped(value: Any) -> Any:
    """Names come from the file and must not steer the terminal or make lines of their own."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "�" for c in value)
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def count_text(number: int) -> str:
    """``300775552`` → "300.8 M"."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.1f}{name}"
    return str(number)


def _head(facts: Facts) -> list[str]:
    main, others = facts["graphs"][0], facts["graphs"][1:]
    graphs = f", {len(others)} more graphs" if others else ""
    needed = facts["minimum_runtime"]
    activations = facts["arena_bytes"]
    planned = "not planned: too many tensors" if activations is None else size_text(activations)
    names = [*facts["metadata"], *(f"{name} (file)" for name in facts["associated_files"])]
    dtypes = (f"{count} {dtype}" for dtype, count in facts["dtypes"].items())
    rows = [
        ("made by", _cut(facts["description"].strip(), WIDTH) or "–"),
        ("graph", f"{main['ops']} ops, {main['tensors']} tensors{graphs}"),
        ("runs on", f"TensorFlow Lite {needed} or later" if needed else _unknown(facts)),
        ("work", f"{count_text(facts['macs'])} multiply-accumulates"),
        ("memory", f"{planned} of activations (estimated), {size_text(facts['constant_bytes'])} "
                   "of constants"),
        ("tensors", ", ".join(dtypes)),
        *(("signature", _signature(signature)) for signature in facts["signatures"]),
        ("metadata", _listed(names)),
    ]  # fmt: skip
    head = f"{facts['file']}   {size_text(facts['bytes'])}   sha256 {facts['sha256'][:16]}…"
    return [head, "", *(line for name, value in rows for line in _row(name, value))]


def _unknown(facts: Facts) -> str:
    new = [row for row in facts["op_types"] if not row["custom"] and not row["minimum_runtime"]]
    names = ", ".join(f"{row['op']} version {row['version']}" for row in new)
    return f"a runtime that knows {names}" if names else "a runtime that has its custom ops"


def _signature(signature: Facts) -> str:
    given, taken = (_listed(signature[end]) for end in ("inputs", "outputs"))
    return f"{signature['key']}({given}) → {taken}"


def _ends(facts: Facts) -> list[str]:
    lines = []
    for what in ("input", "output"):
        for tensor in facts[f"{what}s"]:
            shape = "×".join(map(str, tensor["shape"])) or "scalar"
            name = f"{_cut(tensor['name'], _NAME)}: {tensor['dtype']} {shape}"
            lines += _row(what, f"{name}, {_scale(tensor['quantization'])}")
            if -1 in tensor["shape_signature"]:
                open_ = "×".join("?" if n < 0 else str(n) for n in tensor["shape_signature"])
                lines += _row("", f"open to other sizes: {open_}")
    return lines


def _scale(quantization: Facts | None) -> str:
    if quantization is None:
        return "not quantized"
    if quantization["per_channel"]:
        return f"{len(quantization['scales'])} scales along axis {quantization['axis']}"
    scale = quantization["scales"][0]
    shown = "not a number" if scale is None else f"{scale:.7g}"
    return f"scale {shown}, zero point {quantization['zero_points'][0]}"


def _ops(facts: Facts) -> list[str]:
    rows = [("op", "version", "count", "since", "MACs")]
    for row in facts["op_types"]:
        since = "custom op" if row["custom"] else row["minimum_runtime"] or "newer"
        counted = row["op"] in WEIGHTED or row["macs"]
        macs = count_text(row["macs"]) if counted else ""
        op = _cut(row["op"], _NAME)
        rows.append((op, str(row["version"]), str(row["count"]), since, macs))
    return columns(rows)


def _kernels(facts: Facts) -> list[str]:
    if not facts["kernels"]:
        return []
    rows = [("kernel", "shape", "type", "zeros")]
    sizes = sorted((kernel["size"] for kernel in facts["kernels"]), reverse=True)
    smallest = sizes[:_MOST_KERNELS][-1]
    shown = [kernel for kernel in facts["kernels"] if kernel["size"] >= smallest]
    for kernel in shown[:_MOST_KERNELS]:
        scales = ", per channel" if kernel["per_channel"] else ""
        rows.append(
            (
                _cut(kernel["tensor"], _NAME),
                "×".join(map(str, kernel["shape"])),
                f"{kernel['dtype']}{scales}",
                _share(kernel["zeros"], kernel["size"]),
            )
        )
    if len(sizes) > 1:
        zeros = _share(facts["kernel_zeros"], facts["kernel_values"])
        more = " (--json has each)" if len(sizes) > _MOST_KERNELS else ""
        rows.append((f"all {len(sizes)}{more}", count_text(sum(sizes)), "", zeros))
    return columns(rows)


def _edgetpu(found: Facts) -> list[str]:
    mapped, total = found["mapped"], found["total"]
    memory = size_text(found["parameter_bytes"])
    kept = (
        f", of which {size_text(found['streamed_bytes'])} are sent in every inference"
        if found["streamed_bytes"]
        else ", all kept on the chip"
    )
    parameters = f"{memory} of parameters{kept if found['parameter_bytes'] else ''}"
    if found["compiled"]:
        left = total - mapped
        runtime = (
            f"; Edge TPU runtime {found['min_runtime']} or later" if found["min_runtime"] else ""
        )
        rest = f"{left} ops are left to the CPU" if left else "nothing is left to the CPU"
        head = f"Edge TPU: compiled, {_subgraphs(found)}, {rest}{runtime}; {parameters}"
        return [*wrap(head, WIDTH), *_reasons(found)]
    head = (
        f"Edge TPU, predicted: {mapped} of {total} ops ({percent(mapped / total if total else 0)})"
    )
    return [*wrap(f"{head}, {_subgraphs(found)}; {parameters}", WIDTH), *_reasons(found)]


def _subgraphs(found: Facts) -> str:
    return count_of(found["subgraphs"], "subgraph")


def left_on_cpu(ops: Sequence[Facts]) -> list[tuple[str, str]]:
    """Places and reasons of the ops on the CPU; those that only stand behind another in one row for
    each of these."""
    cpu = [op for op in ops if op["target"] == "cpu"]
    own = [op for op in cpu if op["status"] not in _SHARED]
    rows = [(_span([op["index"]]), f"{_cut(op['op'], _NAME)}: {op['reason']}") for op in own]
    for reason in dict.fromkeys(op["reason"] for op in cpu if op["status"] in _SHARED):
        members = [op for op in cpu if op["reason"] == reason]
        names = Counter(_cut(op["op"], _NAME) for op in members)
        counted = ", ".join(f"{n} {name}" if n > 1 else name for name, n in names.items())
        rows.append((_span([op["index"] for op in members]), f"{reason}: {counted}"))
    return rows


def _reasons(found: Facts) -> list[str]:
    rows = left_on_cpu(found["ops"])
    shown = [
        line
        for number, told in rows[:_MOST_REASONS]
        for line in wrap(f"  {number:>9}  {told}", WIDTH, subsequent_indent=" " * 13)
    ]
    hidden = len(rows) - _MOST_REASONS
    return [*shown, *([f"  and {hidden} rows more; --json has all"] if hidden > 0 else [])]


def _span(indices: Sequence[int]) -> str:
    return str(indices[0]) if len(indices) == 1 else f"{min(indices)}–{max(indices)}"


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    lines = [wrap(note, WIDTH, initial_indent="  - ", subsequent_indent="    ") for note in notes]
    return ["What to change for the Edge TPU:", *(line for note in lines for line in note)]


def _row(name: str, value: str) -> list[str]:
    return wrap(f"{name:<11}{value}", WIDTH, subsequent_indent=" " * 11, drop_whitespace=True) or [
        name
    ]


def _listed(names: Iterable[str]) -> str:
    names = [_cut(name, _NAME) for name in names]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more or "none"


def _cut(name: str, columns: int) -> str:
    """The end of a long name, which tells more than its beginning."""
    return name if len(name) <= columns else f"…{name[1 - columns :]}"


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"
