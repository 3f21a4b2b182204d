"""The quantization debugger's findings: layer by layer, and what to keep in higher precision."""

from __future__ import annotations

import json
from textwrap import wrap

from tfedge.core.outputs import LayerComparison, ModelFile
from tfedge.files.text import WIDTH, columns
from tfedge.report.facts import Facts
from tfedge.tasks.blocks import Bars, Block, Bullets, Code, Figure, Table, Text, cell, percent
from tfedge.tasks.task import Metric

SHOWN = 5  # layers on the terminal …
MOST = 8  # … and of a proposal there
_BARS = 16  # layers of a picture

_HEAD = ("layer", "harm", "same answer", "error", "SQNR", "now")


def quantization(facts: Facts) -> list[Block]:
    """The report's section: what was kept, every layer sorted by harm, and the proposal."""
    kept = _kept(facts.model)
    blocks: list[Block] = [Text(f"Kept in higher precision: {kept}.")] if kept else []
    found = facts.debug
    if not found:
        away = Text("Layers were not compared: `quantize.debug: true` does.")
        return [*blocks, away] if blocks else []
    outcomes = _outcomes(found, facts.task.primary)
    if found.ranges == "converter":
        outcomes.append("the converter found the ranges of the shipped file itself; these are ours")
    proposal = _yaml(found)
    return [
        *blocks,
        Text(
            "Each layer quantized alone, the others in float, the most harmful first. *Harm* is "
            "the mean Kullback–Leibler divergence of the answers from the float ones, in "
            "thousandths of a nat; *error* that of the layer's own result, in steps of its scale "
            "(0.29: rounding alone)."
        ),
        *_bars(found),
        Table(_HEAD, _rows(found)),
        Bullets(outcomes),
        Text(_proposal(found)),
        *([Code(f"quantize:\n  {proposal}", "yaml")] if proposal else []),
    ]


def _bars(found: LayerComparison) -> list[Block]:
    """Harm and error of the layers that do most of it."""
    worst = found.layers[:_BARS]
    if len(worst) < 2:
        return []
    of = "" if len(worst) == len(found.layers) else f", the worst {_BARS} of {len(found.layers)}"
    harm = [(row.unit, max(0.0, row.divergence), f"{1000 * row.divergence:.3f}") for row in worst]
    noisy = sorted(found.layers, key=lambda row: -row.error)[:_BARS]
    error = [(row.unit, row.error, f"{row.error:.2f}") for row in noisy]
    return [
        Figure(f"Harm of each layer alone{of}; thousandths of a nat", Bars(harm)),
        Figure(f"Error of each layer alone{of}; steps of its scale", Bars(error)),
    ]


def short(facts: Facts) -> list[str]:
    """The same for the terminal: the worst layers, and the proposal.

    What a quick look found stands among the warnings.
    """
    found = facts.debug
    if not found or found.quick:
        return []
    rows = [_HEAD, *_rows(found)[:SHOWN]]
    left = len(found.layers) - SHOWN
    more = [f"({left} more in the report; harm in thousandths of a nat)"] if left > 0 else []
    proposal = _yaml(found)
    if (many := len(found.proposed.kept or {}) if found.proposed else 0) > MOST:
        proposal = proposal and f"{many} layers, named in the report"
    said = wrap(_proposal(found), WIDTH)
    return [*columns(rows), *more, "", *said, *([f"  {proposal}"] if proposal else [])]


def _kept(model: ModelFile | None) -> str:
    kept = (model and model.kept) or {}
    return cell(", ".join(f"{name} ({precision})" for name, precision in kept.items()))


def _rows(found: LayerComparison) -> list[tuple[str, ...]]:
    return [
        (
            row.unit,
            f"{1000 * row.divergence:.3f}",
            percent(row.agreement),
            f"{row.error:.2f}",
            "–" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB",
            row.kept,
        )
        for row in found.layers
    ]


def _outcomes(found: LayerComparison, metric: Metric) -> list[str]:
    named = {"all in float": found.plain, "as it is now": found.now, "the shipped file": found.file}
    named |= {"as proposed": found.proposed} if found.proposed else {}
    return [
        f"{what}: same answer as float {percent(mixture.agreement)}, "
        f"{metric.label} {metric.figure(mixture.value(metric))}"
        for what, mixture in named.items()
    ]


def _proposal(found: LayerComparison) -> str:
    given = f" ({found.limit_from})" if found.limit_from else ""
    of = f"{found.n} {found.split} examples"
    limit = f"at most {percent(found.limit)} of the answers may change{given}"
    proposed = found.proposed
    if found.quick:
        return (
            f"A quick look at {of}, since int8 is below float; `quantize.debug: true` takes more "
            "and proposes which layers to keep."
        )
    if proposed is None:
        return f"No choice of layers to keep is good enough on {of}: {limit}."
    now = percent(found.now.agreement)
    if proposed.kept == found.now.kept:
        return f"Nothing more need be kept: {now} of {of} get the answer of float; {limit}."
    then = percent(proposed.agreement)
    return f"To keep, for {then} of {of} instead of {now} with the answer of float ({limit}):"


def _yaml(found: LayerComparison) -> str:
    """A line for the pipeline file; "" when there is nothing new in it."""
    proposed = found.proposed
    if proposed is None or proposed.kept == found.now.kept:
        return ""
    return f"keep: {json.dumps(proposed.kept)}"
