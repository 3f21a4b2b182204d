"""report.md: everything a run found out, section by section, also when it failed half-way."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tfedge.catalog.recipes import quantizing
from tfedge.core.outputs import Base
from tfedge.files.artifact import read_json, write_text
from tfedge.files.text import size_text
from tfedge.report import phases
from tfedge.report.calibration import calibration as calibrated
from tfedge.report.calibration import has_calibration
from tfedge.report.debug import quantization
from tfedge.report.facts import Facts, comparison, gather, proposals, warnings
from tfedge.report.layers import sparsity
from tfedge.report.markup import (
    NOT_RUN,
    cell,
    host_text,
    milliseconds,
    render,
    table,
    threads_text,
)
from tfedge.report.robustness import robustness
from tfedge.tasks.blocks import Part, bold, code
from tfedge.tasks.task import Task
from tfedge.tasks.work import work_of

NAME = "report.md"
CHOSE_NOTHING = "The validation examples chose nothing: the accuracy measured on them is honest."


def write(run_dir: Path, result: Mapping[str, Any]) -> Path:
    """Write report.md from ``result`` (run.json) and the stages' folders, and return its path."""
    facts = gather(run_dir, result)
    sections: list[tuple[str, Callable[[Facts], list[str]]]] = [
        ("Result", _result),
        *_answers(facts),
        ("Robustness", _robustness),
        ("Sparsity", sparsity),
        *([("Calibration for 8 bits", calibrated)] if has_calibration(facts) else []),
        *([("Quantization", quantization)] if facts.mixed else []),
        *([("Teacher", _teacher)] if facts.distill else []),
        ("Training", _training),
        ("Data", _data),
        ("Backbone and weights", _backbone),
        ("Benchmark", _benchmark),
        ("Stages", _stages),
        ("Versions", _versions),
        ("How to do it again", _again),
    ]
    written = {title: section(facts) for title, section in sections}
    told = {title: lines for title, lines in written.items() if lines != NOT_RUN}
    lines = [*_head(facts), *_problem(facts)]
    if len(told) < len(written):
        away = ", ".join(title for title in written if title not in told)
        lines += ["", f"Not run, and so left out: {away}."]
    for title, section_lines in told.items():
        lines += ["", f"## {cell(title)}", "", *section_lines]
    write_text(run_dir / NAME, "\n".join(lines) + "\n")
    return run_dir / NAME


def _head(facts: Facts) -> list[str]:
    result = facts.result
    return [
        f"# {cell(result['pipeline'])}",
        "",
        f"Run {code(facts.run_dir.name)}: {bold(result['status'])} in "
        f"{float(result.get('seconds') or 0):.0f} s.",
    ]


def _problem(facts: Facts) -> list[str]:
    """Why a run ended before its end: ``error`` of run.json, {stage, message, hint}."""
    error = facts.result.get("error")
    if not error:
        return []
    where = f" in stage `{error['stage']}`" if error.get("stage") else ""
    hint = ["", f"Way out: {cell(error['hint'])}"] if error.get("hint") else []
    return ["", f"It stopped{where}:", "", *_code(error["message"]), *hint]


def _code(text: str) -> list[str]:
    return ["```", *text.replace("```", "'''").splitlines(), "```"]


def _recipe_text(name: str) -> str:
    return f"{name} (float activations)" if quantizing(name).float_activations else name


def _result(facts: Facts) -> list[str]:
    rows = comparison(facts, interval=True)
    lines = table(["", "float", "int8", ""], rows) if rows else list(NOT_RUN)
    if facts.metrics and facts.metrics.plain.interval(facts.task.primary):
        lines += ["", "In brackets: 95 % confidence interval (Wilson)."]
    if facts.model:
        given, taken = facts.model.input, facts.model.output
        lines += [
            "",
            f"Shipped: {facts.shipped}, recipe {_recipe_text(facts.model.recipe)}, "
            f"`{given.dtype}` {given.shape} in, `{taken.dtype}` {taken.shape} out, "
            f"{facts.model.float_tensors} float tensors, SHA-256 `{facts.model.sha256}`.",
        ]
    between = phases.section(facts)
    told = [f"- warning: {cell(text)}" for text in warnings(facts)]
    told += [f"- proposal: {cell(text)}" for text in proposals(facts)]
    return [*lines, *(["", *between] if between else []), *(["", *told] if told else [])]


def _answers(facts: Facts) -> list[tuple[str, Callable[[Facts], list[str]]]]:
    """The task's own sections on how good the model is."""
    if not facts.metrics:
        return [("Answers", lambda facts: NOT_RUN)]
    parts = work_of(facts.task).answers(facts.metrics)
    return [(part.title, partial(_rendered, part)) for part in parts]


def _rendered(part: Part, facts: Facts) -> list[str]:
    return render(part.blocks)


def _robustness(facts: Facts) -> list[str]:
    return render(robustness(facts.metrics, facts.task)) if facts.metrics else NOT_RUN


def _data(facts: Facts) -> list[str]:
    if not facts.index:
        return NOT_RUN
    return render(work_of(facts.task).data(facts.index, facts.audit))


def _teacher(facts: Facts) -> list[str]:
    found = facts.distill
    if found is None:
        return NOT_RUN
    split, metric = found.chose_weights_on, facts.task.primary
    rows = [
        [who, metric.figure(judged.val_accuracy), f"{judged.val_loss:.4g}"]
        for who, judged in ((found.name, found), ("the float model", found.plain))
    ]
    rows = rows if found.net else rows[1:]
    return [
        *([_net(found.net, facts.task), ""] if found.net else []),
        *table(["", f"{metric.label}, {split or 'val'} examples", "loss"], rows),
        "",
        "These examples chose the weights of both." if split else CHOSE_NOTHING,
    ]


def _training(facts: Facts) -> list[str]:
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
    lines: list[str] = []
    for title, rows in parts:
        if rows:
            keys = list(rows[0])
            shown = [[_figure(row.get(key)) for key in keys] for row in rows]
            lines += ["", f"### {title}", "", *table([k.replace("_", " ") for k in keys], shown)]
    if not lines:
        return NOT_RUN
    return [*lines[1:], "", *_chosen_epoch_lines(facts)]


def _figure(value: Any) -> str:
    if value is None or isinstance(value, str):
        return cell(value)
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _chosen_epoch_lines(facts: Facts) -> list[str]:
    if not facts.history:
        return []
    split, best = facts.history.chose_weights_on, facts.history.best_epoch
    if split is None:
        return [CHOSE_NOTHING]
    same = facts.metrics and facts.metrics.chose_weights
    return [
        f"What chose the weights: the lowest loss on the {cell(split)} examples (epoch {best})."
        + (" **The accuracy above was measured on the same examples.**" if same else "")
    ]


def _backbone(facts: Facts) -> list[str]:
    if not facts.base:
        return NOT_RUN
    return [_net(facts.base, facts.task)]


def _net(base: Base, task: Task) -> str:
    weights = base.weights
    digest = f", SHA-256 `{weights.sha256}`" if weights.sha256 else ""
    return (
        f"{work_of(task).net_text(base)}; "
        f"weights from {cell(weights.source)}: {cell(weights.detail)}{digest}. "
        f"Licence: {cell(weights.licence or 'not known')}."
    )


def _benchmark(facts: Facts) -> list[str]:
    if not facts.benchmark and not facts.gaps:
        return NOT_RUN
    rows = [
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
    said = [f"- {cell(name)}: {cell(host_text(host))}" for name, host in hosts.items()]
    said += [f"- {cell(name)}: not measured: {cell(why)}" for name, why in facts.gaps.items()]
    unstable = [
        f"- {cell(r.device)}, {cell(r.model)}, {threads_text(r.threads)}: {cell(reason)}"
        for r in facts.benchmark
        for reason in r.unstable
    ]
    return [
        *said,
        "",
        "Random inputs; peak memory is the process's after its imports.",
        "",
        *table([*head, "peak memory", "samples, processes", ""], rows),
        *(["", *unstable] if unstable else []),
    ]


def _stages(facts: Facts) -> list[str]:
    stages = facts.result.get("stages") or []
    if not stages:
        return NOT_RUN
    rows = [
        [s["name"], code(s["key"][:12]), s["cache"], f"{float(s['seconds']):.1f}"] for s in stages
    ]
    return table(["stage", "key", "cache", "seconds"], rows)


def _versions(facts: Facts) -> list[str]:
    found = facts.result.get("versions") or {}
    return table(["", "version"], sorted(found.items())) if found else ["Not known."]


def _from_here(path: Path) -> str:
    """A path as it can be typed where tfedge was called."""
    whole, here = path.resolve(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def _elsewhere(resolved: Path) -> list[str]:
    """What another machine must be told."""
    path = (read_json(resolved).get("data") or {}).get("path") or ""
    if not Path(path).is_absolute():
        return []
    return ["", "On another machine say where the examples lie: `--set data.path=…`."]


def _again(facts: Facts) -> list[str]:
    # JSON is YAML, too; and its paths are whole, not relative to where the YAML once lay.
    resolved = facts.run_dir / "resolved.json"
    lines = []
    if resolved.is_file():
        lines = [f"    tfedge run {shlex.quote(_from_here(resolved))}", *_elsewhere(resolved)]
    data, net = facts.result.get("data") or {}, facts.distill and facts.distill.net
    said = {
        "data": data.get("digest"),
        "weights": facts.base and facts.base.weights.sha256,
        "weights of the teacher": net and net.weights.sha256,
        "model.tflite": facts.model and facts.model.sha256,
    }
    digests = {name: digest for name, digest in said.items() if digest}
    return [
        *lines,
        *([""] if lines else []),
        "The same file comes out, byte for byte, from the same versions on the same machine, given "
        "these digests:",
        "",
        *_code(json.dumps(digests, indent=1)),
    ]
