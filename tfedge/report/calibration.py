"""The report's section on how a network came to 8 bits: what correcting and training brought.

Every figure is of examples that had no part in what is compared: training examples that ranges and
corrections were not taken from, and validation examples.
"""

from __future__ import annotations

from tfedge.core.outputs import Correction, Distance, Trial
from tfedge.report.facts import Facts
from tfedge.tasks.blocks import Block, Table, Text, bold, percent
from tfedge.tasks.task import Metric


def has_calibration(facts: Facts) -> bool:
    """Whether there is anything to tell."""
    found = facts.quantize
    return found is not None and bool(found.correction or found.tried or found.trained)


def calibration(facts: Facts) -> list[Block]:
    """What was tried on the way to 8 bits, and what stayed."""
    found, metric = facts.quantize, facts.task.primary
    if found is None:
        return []
    blocks = _correction(found.correction) if found.correction else []
    tried = [*(found.tried or []), *([found.trained] if found.trained else [])]
    if tried:
        head = ["state", "examples", "before", "after", "agreement", "p", ""]
        blocks += [
            Table(head, [_row(row, metric) for row in tried]),
            Text(
                f"{metric.title} on the same examples; p by McNemar's exact test. `ptq` "
                "stands against the float model, 8-bit training against its own start; what stays "
                "is the rule's choice unless it loses by more than chance."
            ),
        ]
    return blocks


def _correction(found: Correction) -> list[Block]:
    states: dict[str, Distance] = {"plain": found.plain, "corrected": found.corrected}
    rows = [
        [
            name if name != found.state else bold(name),
            f"{distance.kl:.4f}",
            percent(distance.agreement),
        ]
        for name, distance in states.items()
    ]
    return [
        Text(
            "Ranges alone, and equalised, centred, rounded and corrected: divergence of the "
            "outputs from the float model's (of scores: KL, in nats), and agreement with it, on "
            f"{found.n} training examples that gave neither ranges nor corrections; the state in "
            "bold went on."
        ),
        Table(["state", "divergence", "agreement"], rows),
    ]


def _row(row: Trial, metric: Metric) -> list[str]:
    return [
        row.recipe or "8-bit training",
        f"{row.n} {row.split}",
        metric.figure(row.before),
        metric.figure(row.value(metric)),
        percent(row.agreement),
        f"{row.p:.2g}",
        "worse, not by chance" if row.significant else "not worse",
    ]
