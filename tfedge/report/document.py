"""Everything a run found out, section by section, also when it failed half-way: what every
renderer of a report shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfedge.catalog.recipes import quantizing
from tfedge.core.outputs import Base
from tfedge.core.rundir import RESOLVED
from tfedge.files.artifact import read_json
from tfedge.files.text import count_of, size_text
from tfedge.report import mapping, phases, timing, verdict
from tfedge.report.calibration import calibration as calibrated
from tfedge.report.calibration import has_calibration
from tfedge.report.debug import quantization
from tfedge.report.facts import Facts, comparison, proposals, warnings
from tfedge.report.layers import layer_tables, sparsity
from tfedge.report.markup import host_text, milliseconds, threads_text
from tfedge.report.robustness import robustness
from tfedge.report.settings import command, what_was_run
from tfedge.tasks.blocks import (
    Block,
    Bullets,
    Code,
    Curves,
    Figure,
    Heading,
    Part,
    Points,
    Table,
    Text,
    bold,
    cell,
    code,
)
from tfedge.tasks.task import Task
from tfedge.tasks.work import work_of

FOLDED = 16  # rows; a longer table is folded
CHOSE_NOTHING = "The validation examples chose nothing: the accuracy measured on them is honest."


@dataclass(frozen=True)
class Document:
    """A report: its title, what stands before the first part, and the parts."""

    title: str
    head: Sequence[Block]
    parts: Sequence[Part]


def document(facts: Facts) -> Document:
    """The report of a run. ArtifactError for a file that is there and is not what it must be."""
    sections: list[tuple[str, Callable[[Facts], list[Block]]]] = [
        ("Robustness", _robustness),
        ("Sparsity", sparsity),
        *([("Calibration for 8 bits", calibrated)] if has_calibration(facts) else []),
        *([("Quantization", quantization)] if facts.mixed else []),
        *([("Teacher", _teacher)] if facts.distill else []),
        ("Training", _training),
        ("Data", _data),
        ("Backbone and weights", _backbone),
        ("Benchmark", _benchmark),
        *([("Edge TPU", mapping.edge_tpu)] if mapping.is_told(facts) else []),
        ("How to do it again", _again),
        ("Appendix: layers", layer_tables),
        ("Appendix: stages", _stages),
        ("Appendix: versions", _versions),
    ]
    rest = [Part(title, section(facts)) for title, section in sections]
    first = [Part("Result", _result(facts)), Part("What was run", what_was_run(facts))]
    parts = [*first, *_answers(facts), *rest]
    away = ", ".join(part.title for part in parts if not part.blocks)
    left_out = [Text(f"Not run, and so left out: {away}.")] if away else []
    head = [*_head(facts), *_problem(facts), *left_out]
    return Document(str(facts.result["pipeline"]), head, [part for part in parts if part.blocks])


def _head(facts: Facts) -> list[Block]:
    result = facts.result
    seconds = float(result.get("seconds") or 0)
    run = Text(f"Run {code(facts.run_dir.name)}: {bold(result['status'])} in {seconds:.0f} s.")
    return [*verdict.sentence(facts), run]


def _problem(facts: Facts) -> list[Block]:
    """Why a run ended before its end: ``error`` of run.json, {stage, message, hint}."""
    error = facts.result.get("error")
    if not error:
        return []
    where = f" in stage `{error['stage']}`" if error.get("stage") else ""
    hint = [Text(f"Way out: {cell(error['hint'])}")] if error.get("hint") else []
    return [Text(f"It stopped{where}:"), Code(str(error["message"])), *hint]


def _recipe_text(name: str) -> str:
    return f"{name} (float activations)" if quantizing(name).float_activations else name


def _result(facts: Facts) -> list[Block]:
    rows = comparison(facts, interval=True)
    told = [f"warning: {text}" for text in warnings(facts)]
    told += [f"proposal: {text}" for text in proposals(facts)]
    rest = [*_shipped(facts), *phases.section(facts), *([Bullets(told)] if told else [])]
    if rows:
        table = Table(["", "float", "int8", ""], rows)
        return [*verdict.picture(facts), *verdict.gate_table(facts), table, *rest]
    return [Text("Not run."), *rest] if rest else []


def _tradeoff(facts: Facts) -> list[Block]:
    """Accuracy over latency of float and int8, on the first device, on the fewest threads."""
    metrics = facts.metrics
    if metrics is None or not facts.benchmark:
        return []
    device, threads, metric = facts.devices[0], min(facts.threads), facts.task.primary
    scale = 100 if metric.share else 1
    points = [
        (name, result.summary.median / 1e6, scale * value)
        for name, value in metrics.values(metric).items()
        if (result := facts.latency(name, device, threads)) is not None
    ]
    if len(points) < 2:
        return []
    y = f"{metric.label}, %" if metric.share else metric.label
    title = f"{metric.title} over latency on {device}, {threads_text(threads)}"
    return [Figure(title, Points("ms, median", y, points))]


def _shipped(facts: Facts) -> list[Block]:
    blocks: list[Block] = []
    if facts.metrics and facts.metrics.plain.interval(facts.task.primary):
        how = facts.task.primary.interval
        blocks.append(Text(f"In brackets: 95 % confidence interval ({how})."))
    if facts.model:
        given, taken = facts.model.input, facts.model.output
        floats = count_of(facts.model.float_tensors, "float tensor")
        text = (
            f"Shipped: {facts.shipped}, recipe {_recipe_text(facts.model.recipe)}, "
            f"`{given.dtype}` {given.shape} in, `{taken.dtype}` {taken.shape} out, "
            f"{floats}, SHA-256 `{facts.model.sha256}`."
        )
        blocks.append(Text(text))
    return blocks


def _answers(facts: Facts) -> list[Part]:
    """The task's own sections on how good the model is."""
    if not facts.metrics:
        return [Part("Answers", [])]
    return work_of(facts.task).answers(facts.metrics, facts.examples)


def _robustness(facts: Facts) -> list[Block]:
    return robustness(facts.metrics, facts.task) if facts.metrics else []


def _data(facts: Facts) -> list[Block]:
    if not facts.index:
        return []
    return work_of(facts.task).data(facts.index, facts.audit, facts.examples)


def _teacher(facts: Facts) -> list[Block]:
    found = facts.distill
    if found is None:
        return []
    split, metric = found.chose_weights_on, facts.task.primary
    rows = [
        [who, metric.figure(judged.val_accuracy), f"{judged.val_loss:.4g}"]
        for who, judged in ((found.name, found), ("the float model", found.plain))
    ]
    rows = rows if found.net else rows[1:]
    return [
        *([Text(_net(found.net, facts.task))] if found.net else []),
        Table(["", f"{metric.label}, {split or 'val'} examples", "loss"], rows),
        Text("These examples chose the weights of both." if split else CHOSE_NOTHING),
    ]


def _training(facts: Facts) -> list[Block]:
    teacher = facts.distill and facts.distill.history
    parts = [
        ("Head", facts.history and facts.history.head),
        ("Top blocks", facts.history and facts.history.blocks),
        ("Head of the teacher", teacher and teacher.head),
        ("Top blocks of the teacher", teacher and teacher.blocks),
        ("Pruning", facts.pruning and facts.pruning.root),
        ("Clustering", facts.clustering and facts.clustering.root),
        ("Quantization-aware training", facts.quantize and facts.quantize.history),
    ]
    blocks: list[Block] = []
    for title, rows in parts:
        if rows:
            keys = list(rows[0])
            shown = [[_figure(row.get(key)) for key in keys] for row in rows]
            blocks += [
                Heading(title),
                *_curves(title, rows),
                Table([k.replace("_", " ") for k in keys], shown),
            ]
    return [*blocks, *_chosen_epoch(facts)] if blocks else []


def _curves(title: str, rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The losses, epoch by epoch, of training that has some."""
    found: dict[str, list[tuple[float, float]]] = {}
    for key, name in (("loss", "training loss"), ("val_loss", "validation loss")):
        line = [
            (float(at), float(row[key]))
            for at, row in enumerate(rows, 1)
            if isinstance(row.get(key), (int, float)) and math.isfinite(row[key])
        ]
        if len(line) > 1:
            found[name] = line
    return [Figure(f"{title}: loss", Curves("epoch", "loss", found))] if found else []


def _figure(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _chosen_epoch(facts: Facts) -> list[Block]:
    if not facts.history:
        return []
    split, best = facts.history.chose_weights_on, facts.history.best_epoch
    if split is None:
        return [Text(CHOSE_NOTHING)]
    same = facts.metrics and facts.metrics.chose_weights
    text = f"What chose the weights: the lowest loss on the {cell(split)} examples (epoch {best})."
    if same:
        text += " **The accuracy above was measured on the same examples.**"
    return [Text(text)]


def _backbone(facts: Facts) -> list[Block]:
    return [Text(_net(facts.base, facts.task))] if facts.base else []


def _net(base: Base, task: Task) -> str:
    weights = base.weights
    digest = f", SHA-256 `{weights.sha256}`" if weights.sha256 else ""
    return (
        f"{work_of(task).net_text(base)}; "
        f"weights from {cell(weights.source)}: {cell(weights.detail)}{digest}. "
        f"Licence: {cell(weights.licence or 'not known')}."
    )


def _benchmark(facts: Facts) -> list[Block]:
    if not facts.benchmark and not facts.gaps:
        return []
    rows: list[list[object]] = [
        [
            r.device,
            r.model,
            f"{r.runtime} {r.runtime_version}",
            threads_text(r.threads),
            milliseconds(r),
            f"{r.summary.p90 / 1e6:.2f}" if r.summary.p90 else None,
            f"{sum(p.load_ns for p in r.processes) / len(r.processes) / 1e6:.0f}",
            size_text(r.peak_bytes) if r.peak_bytes else None,
            f"{r.summary.n} in {len(r.processes)}",
            "unstable" if r.unstable else "steady",
        ]
        for r in facts.benchmark
    ]
    rows += [[name, "not measured", *[None] * 8] for name in facts.gaps]
    head = ["device", "model", "runtime", "threads", "median ± MAD", "p90 ms", "load ms"]
    hosts = {r.device: r.host for r in facts.benchmark}
    said = [f"{name}: {host_text(host)}" for name, host in hosts.items()]
    said += [f"{name}: not measured: {why}" for name, why in facts.gaps.items()]
    unstable = [
        f"{r.device}, {r.model}, {threads_text(r.threads)}: {reason}"
        for r in facts.benchmark
        for reason in r.unstable
    ]
    return [
        Bullets(said),
        Text("Random inputs; peak memory is the process's after its imports."),
        *_tradeoff(facts),
        *timing.samples(facts),
        *timing.profiles(facts),
        Table([*head, "peak memory", "samples, processes", ""], rows),
        *([Bullets(unstable)] if unstable else []),
    ]


def _stages(facts: Facts) -> list[Block]:
    stages = facts.result.get("stages") or []
    if not stages:
        return []
    rows = [
        [s["name"], code(s["key"][:12]), s["cache"], f"{float(s['seconds']):.1f}"] for s in stages
    ]
    return [Table(["stage", "key", "cache", "seconds"], rows)]


def _versions(facts: Facts) -> list[Block]:
    found = facts.result.get("versions") or {}
    return [Table(["", "version"], sorted(found.items())) if found else Text("Not known.")]


def _elsewhere(resolved: Path) -> list[Block]:
    """What another machine must be told."""
    path = (read_json(resolved).get("data") or {}).get("path") or ""
    if not Path(path).is_absolute():
        return []
    return [Text("On another machine say where the examples lie: `--set data.path=…`.")]


def _again(facts: Facts) -> list[Block]:
    # JSON is YAML, too; and its paths are whole, not relative to where the YAML once lay.
    blocks: list[Block] = []
    if told := command(facts.run_dir):
        blocks = [Code(told, "sh"), *_elsewhere(facts.run_dir / RESOLVED)]
    data, net = facts.result.get("data") or {}, facts.distill and facts.distill.net
    said = {
        "data": data.get("digest"),
        "weights": facts.base and facts.base.weights.sha256,
        "weights of the teacher": net and net.weights.sha256,
        "model.tflite": facts.model and facts.model.sha256,
    }
    digests = {name: digest for name, digest in said.items() if digest}
    return [
        *blocks,
        Text(
            "The same file comes out, byte for byte, from the same versions on the same machine, "
            "given these digests:"
        ),
        Code(json.dumps(digests, indent=1)),
    ]
