"""The model card of a drop, Markdown (after Mitchell et al. 2019, Model Cards)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.drops.content import Content, contract
from tfedge.report.markup import cell, machine_text, milliseconds, render, size_text, table
from tfedge.report.robustness import robustness
from tfedge.tasks.blocks import percent
from tfedge.tasks.image_classification.report import class_table, count_table
from tfedge.tasks.table import DEFAULT, task_of


def card(content: Content) -> str:
    parts = [
        [f"# {content.name}"],
        _use(content),
        _data(content),
        _weights(content.backbone),
        _recipe(content),
        _metrics(content.metrics),
        _robustness(content.metrics),
        _latency(content),
        _limits(content),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _use(content: Content) -> list[str]:
    given, taken = contract(content)
    size = given["shape"][1]
    return [
        "## Intended use",
        "",
        f"Names which of {len(content.classes)} classes a photo shows: "
        f"{', '.join(cell(name) for name in content.classes)}.",
        "",
        f"- in: RGB pixels, `{given['dtype']}` 0–255, {given['shape']}; no normalisation, it is "
        f"part of the model. A photo becomes {size}×{size} by `{content.fit}`.",
        f"- out: a score for each class, `{taken['dtype']}` {taken['shape']}"
        + (f", times {taken['scale']:g}." if taken["scale"] else "."),
        f"- size: {size_text(len(content.model))}.",
    ]


def _data(content: Content) -> list[str]:
    return [
        "## Data",
        "",
        f"Source: {cell(content.data['source'])}. Digest: `{content.data['digest']}`.",
        "",
        *render([count_table(content.classes, content.data["counts"])]),
    ]


def _weights(backbone: Mapping[str, Any]) -> list[str]:
    weights = backbone["weights"]
    lines = [
        "## Backbone and weights",
        "",
        f"{cell(backbone['name'])}, alpha {backbone['alpha']:g}, started from "
        f"{cell(weights['source'])}: {cell(weights['detail'])}.",
        "",
        f"Licence of these weights: {cell(weights['licence'] or 'not known')}. "
        "Mind the licence of the pictures, too.",
    ]
    return [*lines, *(["", f"SHA-256: `{weights['sha256']}`."] if weights["sha256"] else [])]


# Of a section of the recipe.
_TOLD = (
    *("recipe", "sparsity", "allocation", "clusters", "init"),
    *("epochs", "learning_rate"),
    *("teacher", "temperature", "alpha"),
)


def _teacher(distill: Mapping[str, Any]) -> list[str]:
    plain = percent(distill["float"]["val_accuracy"])
    said = (
        f"- the teacher's top-1 on the pictures that chose its weights: "
        f"{percent(distill['val_accuracy'])}; the float model's: {plain}"
    )
    net = distill.get("net")
    if net is None:
        return [said]
    weights = net["weights"]
    licence = cell(weights["licence"] or "not known")
    origin = f"- the teacher, {cell(net['name'])}, alpha {net['alpha']:g}, started from "
    origin += f"{cell(weights['source'])}: {cell(weights['detail'])} (licence: {licence})"
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
            lines.append(f"- {name}: {cell(', '.join(said))}")
            lines += _teacher(section) if name == "distill" else []
    if content.sparsity is not None:
        lines.append(
            f"- zeros among the prunable weights of this file: {percent(content.sparsity)}"
        )
    return lines


def _metrics(metrics: Mapping[str, Any] | None) -> list[str]:
    lines = ["## Metrics", ""]
    if metrics is None:
        return [*lines, "Not evaluated."]
    shipped = metrics[metrics["shipped"]]
    low, high = shipped["top1_ci95"]
    lines += [
        f"Measured on this very file, through LiteRT, on {metrics['n']} pictures "
        f"({metrics['split']}).",
        "",
        f"- top-1: {percent(shipped['top1'])} (95 % interval {percent(low)} to {percent(high)})",
        f"- macro recall: {percent(shipped['recall_macro'])}; "
        f"macro F1: {percent(shipped['f1_macro'])}",
        f"- expected calibration error: {shipped['ece']:.3f}",
    ]
    if "agreement" in metrics:
        lines.append(f"- agrees with the float model on {percent(metrics['agreement'])} of them")
    return [*lines, "", *render([class_table(shipped, "class")])]


def _robustness(metrics: Mapping[str, Any] | None) -> list[str]:
    said = render(robustness(metrics, task_of(DEFAULT))) if metrics else ["Not evaluated."]
    return ["## Robustness", "", *said]


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


def _limits(content: Content) -> list[str]:
    lines = [
        "## Limits",
        "",
        "- It answers with one of its classes whatever the photo shows.",
        "- Measured on pictures from the same source as its training; others may be harder.",
    ]
    warnings = content.metrics["warnings"] if content.metrics else []
    return [*lines, *(f"- {cell(warning)}" for warning in warnings)]
