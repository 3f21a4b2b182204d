"""The model card of a drop, Markdown (after Mitchell et al. 2019, Model Cards)."""

from __future__ import annotations

from tfedge.core.outputs import Distillation
from tfedge.files.text import size_text
from tfedge.report.markup import cell, machine_text, milliseconds, render, table
from tfedge.report.robustness import robustness
from tfedge.tasks.blocks import percent
from tfedge.tasks.drop import Card, Content
from tfedge.tasks.task import Task
from tfedge.tasks.work import work_of

NOT_EVALUATED = ["Not evaluated."]


def card(content: Content) -> str:
    """CARD.md: what the model is for, made from and worth, and what it is not for."""
    said = work_of(content.task).card(content)
    parts = [
        [f"# {cell(content.name)}"],
        _use(content, said),
        _data(content, said),
        _weights(content),
        _recipe(content),
        _metrics(content, said),
        _robustness(content),
        _latency(content),
        _golden(content),
        _limits(content, said),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _use(content: Content, said: Card) -> list[str]:
    return [
        "## Intended use",
        "",
        said.use,
        "",
        f"- in: {said.given}",
        f"- out: {said.taken}",
        f"- size: {size_text(len(content.model))}.",
    ]


def _data(content: Content, said: Card) -> list[str]:
    return [
        "## Data",
        "",
        f"Source: {cell(content.data['source'])}. Digest: `{content.data['digest']}`.",
        "",
        *render(said.data),
    ]


def _weights(content: Content) -> list[str]:
    weights = content.backbone.weights
    net = work_of(content.task).net_text(content.backbone)
    lines = [
        "## Backbone and weights",
        "",
        f"{net}, started from {cell(weights.source)}: {cell(weights.detail)}.",
        "",
        f"Licence of these weights: {cell(weights.licence or 'not known')}. "
        "Mind the licence of the data, too.",
    ]
    return [*lines, *(["", f"SHA-256: `{weights.sha256}`."] if weights.sha256 else [])]


# Of a section of the recipe.
_TOLD = (
    *("recipe", "sparsity", "allocation", "clusters", "init"),
    *("epochs", "learning_rate"),
    *("teacher", "temperature"),
)


def _teacher(teacher: Distillation, task: Task) -> list[str]:
    metric = task.primary
    said = (
        f"- the teacher's {metric.label} on the examples that chose its weights: "
        f"{metric.figure(teacher.val_accuracy)}; the float model's: "
        f"{metric.figure(teacher.plain.val_accuracy)}"
    )
    net = teacher.net
    if net is None:
        return [said]
    licence = cell(net.weights.licence or "not known")
    origin = f"- the teacher, {work_of(task).net_text(net)}, started from "
    origin += f"{cell(net.weights.source)}: {cell(net.weights.detail)} (licence: {licence})"
    return [said, origin]


def _recipe(content: Content) -> list[str]:
    lines = ["## Recipe", ""]
    for name, section in content.recipe.items():
        if section is None:
            lines.append(f"- {name}: none")
        else:
            said = [f"{key} {section[key]}" for key in _TOLD if key in section]
            kept = section.get("keep") or {}
            said += [f"{layer} kept in {precision}" for layer, precision in kept.items()]
            lines.append(f"- {cell(name)}: {cell(', '.join(said))}")
            if name == "distill" and content.teacher is not None:
                lines += _teacher(content.teacher, content.task)
    if content.sparsity is not None:
        lines.append(
            f"- zeros among the prunable weights of this file: {percent(content.sparsity)}"
        )
    return lines


def _metrics(content: Content, said: Card) -> list[str]:
    return ["## Metrics", "", *(render(said.metrics) if content.metrics else NOT_EVALUATED)]


def _robustness(content: Content) -> list[str]:
    metrics = content.metrics
    found = render(robustness(metrics, content.task)) if metrics else NOT_EVALUATED
    return ["## Robustness", "", *found]


def _latency(content: Content) -> list[str]:
    lines = ["## Latency", ""]
    if not content.benchmark:
        return [*lines, "Not measured."]
    hosts = {result.device: machine_text(result.host) for result in content.benchmark}
    machines = list(dict.fromkeys(hosts.values()))
    rows = [
        [
            *([hosts[result.device]] if len(machines) > 1 else []),
            result.model,
            f"{result.runtime} {result.runtime_version}",
            result.threads,
            milliseconds(result),
            result.summary.n,
            "unstable" if result.unstable else "steady",
        ]
        for result in content.benchmark
    ]
    where = f"on the machine that made the drop ({cell(machines[0])}), not on the device it is for."
    if set(hosts) != {"local"}:  # how a device is called, or reached, is its owner's business
        where = f"on {cell('; '.join(machines))}."
    head = ["model", "runtime", "threads", "median ± MAD", "n", ""]
    return [
        *lines,
        f"Of one inference {where}",
        "",
        *table([*(["machine"] if len(machines) > 1 else []), *head], rows),
    ]


def _golden(content: Content) -> list[str]:
    return [
        "## Golden pairs",
        "",
        f"`golden/` holds inputs and what this model answers to them: {cell(content.golden_told)}.",
    ]


def _limits(content: Content, said: Card) -> list[str]:
    warnings = content.metrics.warnings if content.metrics else []
    told = [*said.limits, *(cell(warning) for warning in warnings)]
    return ["## Limits", "", *(f"- {text}" for text in told)]
