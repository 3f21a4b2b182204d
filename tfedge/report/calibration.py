"""The report's section on how a network came to 8 bits: what correcting and training brought.

Every figure is of examples that had no part in what is compared: training examples that ranges and
corrections were not taken from, and validation examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.report.facts import Facts
from tfedge.report.markup import table
from tfedge.tasks.blocks import percent
from tfedge.tasks.task import Metric


def has_calibration(facts: Facts) -> bool:
    """Whether there is anything to tell."""
    found = facts.quantize or {}
    return any(key in found for key in ("correction", "tried", "trained"))


def calibration(facts: Facts) -> list[str]:
    """What was tried on the way to 8 bits, and what stayed."""
    found, metric = facts.quantize or {}, facts.task.primary
    lines: list[str] = []
    if "correction" in found:
        lines += _correction(found["correction"])
    tried = [*found.get("tried", []), *([found["trained"]] if "trained" in found else [])]
    if tried:
        head = ["state", "examples", "before", "after", "agreement", "p", ""]
        lines += ["", *table(head, [_row(row, metric) for row in tried]), ""]
        lines.append(
            f"{metric.label.capitalize()} on the same examples; p by McNemar's exact test. `ptq` "
            "stands against the float model, 8-bit training against its own start; what stays is "
            "the rule's choice unless it loses by more than chance."
        )
    return lines


def _correction(found: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            name if name != found["state"] else f"**{name}**",
            f"{found[name]['kl']:.4f}",
            percent(found[name]["agreement"]),
        ]
        for name in ("plain", "corrected")
    ]
    return [
        "Ranges alone, and equalised, centred, rounded and corrected: divergence of the outputs "
        "from the float model's (of scores: KL, in nats), and agreement with it, on "
        f"{found['n']} training examples that gave neither ranges nor corrections; the state in "
        "bold went on.",
        "",
        *table(["state", "divergence", "agreement"], rows),
    ]


def _row(row: Mapping[str, Any], metric: Metric) -> list[Any]:
    what = "ptq" if "recipe" in row else "8-bit training"
    verdict = "not worse" if not row["significant"] else "worse, not by chance"
    return [
        what,
        f"{row['n']} {row['split']}",
        metric.figure(row["before"]),
        metric.figure(row[metric.key]),
        percent(row["agreement"]),
        f"{row['p']:.2g}",
        verdict,
    ]
