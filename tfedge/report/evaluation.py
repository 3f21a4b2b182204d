"""The report's sections on how good the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.report.facts import Facts
from tfedge.report.markup import NOT_RUN, percent, table
from tfedge.report.phases import p_text

_WIDE = 20  # classes; a larger confusion matrix is given as the list of its mistakes
_MANY = 20  # mistakes
_ROUNDING = 1e-6  # 0.87 - 0.90 is a little less than -0.03 in binary
WIDE_GAP = -3.0  # points of top-1 below float, that are marked


def class_table(metrics: Mapping[str, Any], title: str) -> list[str]:
    """Precision, recall and F1 of each class, and their macro means."""
    keys = ("precision", "recall", "f1")
    rows = [
        [row["class"], *(percent(row[key]) for key in keys), row["support"]]
        for row in metrics["per_class"]
    ]
    means = [percent(metrics[f"{key}_macro"]) for key in keys]
    rows.append(["**mean**", *means, metrics["n"]])
    return table([title, "precision", "recall", "F1", "pictures"], rows)


def robustness_table(metrics: Mapping[str, Any]) -> list[str]:
    """Top-1 of each phase, the shipped file last, on images that were made harder."""
    found = metrics.get("robustness")
    if not found:
        return ["Not measured: `evaluate.robustness` is 0."]
    models = found["models"]
    last, losses = next(reversed(models)), found.get("against_float", {})
    rows = [
        [
            name if name != "none" else "as they are",
            *(percent(top1[name]) for top1 in models.values()),
            *([_gap(losses[name])] if losses else []),
        ]
        for name in found["top1"]
    ]
    head = ["images with", *models, *([f"{last} − float, points"] if losses else [])]
    marked = f" Bold: more than {-WIDE_GAP:g} points below float." if losses else ""
    return [
        f"Top-1 on {found['n']} of the images, made harder one way at a time, the same for each "
        "(severity 1 of ImageNet-C; Hendrycks and Dietterich 2019); the last of them, "
        f"{last}, is the shipped file.{marked}",
        "",
        *table(head, rows),
    ]


def _gap(loss: Mapping[str, Any]) -> str:
    points = 100 * loss["gap"]
    text = f"{points:+.1f} (p {p_text(loss['p'])})"
    return f"**{text}**" if points < WIDE_GAP - _ROUNDING else text


def robustness(facts: Facts) -> list[str]:
    return robustness_table(facts.metrics) if facts.metrics else NOT_RUN


def _models(facts: Facts) -> dict[str, Mapping[str, Any]]:
    metrics = facts.metrics or {}
    return {name: metrics[name] for name in ("float", "int8") if name in metrics}


def classes(facts: Facts) -> list[str]:
    if not facts.metrics:
        return NOT_RUN
    tables = [class_table(found, f"{name}: class") for name, found in _models(facts).items()]
    return [line for lines in tables for line in ["", *lines]][1:]


def confusion(facts: Facts) -> list[str]:
    if not facts.metrics:
        return NOT_RUN
    metrics = facts.metrics[facts.metrics["shipped"]]
    names, counts = [row["class"] for row in metrics["per_class"]], metrics["confusion"]
    lines = [f"{facts.metrics['shipped']}; a row is the truth, a column the answer.", ""]
    if len(names) <= _WIDE:
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        return [*lines, *table(["", *names], rows)]
    mistakes = sorted(
        (-n, names[i], names[j])
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if i != j and n
    )
    rows = [[truth, answer, -n] for n, truth, answer in mistakes[:_MANY]]
    return [*lines, *table(["truth", "answer", "pictures"], rows)]


def calibration(facts: Facts) -> list[str]:
    if not facts.metrics:
        return NOT_RUN
    errors = ", ".join(f"{name} {m['ece']:.3f}" for name, m in _models(facts).items())
    shipped = facts.metrics["shipped"]
    rows = [
        [
            f"{b['from']:.2f} – {b['to']:.2f}",
            percent(b["confidence"]),
            percent(b["accuracy"]),
            b["n"],
        ]
        for b in facts.metrics[shipped]["reliability"]
    ]
    head = ["score", "mean score", "right", "pictures"]
    return [f"Expected calibration error, 15 bins: {errors}. {shipped}:", "", *table(head, rows)]


def worst(facts: Facts) -> list[str]:
    if not facts.metrics:
        return NOT_RUN
    if not facts.metrics["worst"]:
        return ["None: no mistake, or `evaluate.worst` is 0."]
    rows = [
        [
            row["path"],
            row["true"],
            row["predicted"],
            f"{row['score']:.2f}",
            f"{row['true_score']:.2f}",
        ]
        for row in facts.metrics["worst"]
    ]
    return table(["picture", "truth", "answer", "its score", "score of the truth"], rows)
