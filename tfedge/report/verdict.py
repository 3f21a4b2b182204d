"""What a report begins with: how good, how large and how fast each model is, and the gates."""

from __future__ import annotations

from tfedge.core import gates
from tfedge.core.outputs import Evaluation
from tfedge.core.result import gather
from tfedge.files.text import size_text
from tfedge.report.facts import Facts
from tfedge.report.markup import milliseconds, threads_text
from tfedge.tasks.blocks import Bars, Block, Figure, Held, Panels, Table
from tfedge.tasks.task import Metric


def picture(facts: Facts) -> list[Block]:
    """Bars from the float model to the file that ships; the tables after it say the same."""
    panels = [(name, bars) for name, bars in _panels(facts) if _can_be_drawn(bars)]
    return [Figure("From float to the file that ships", Panels(panels))] if panels else []


def _can_be_drawn(bars: Bars) -> bool:
    """Bars begin at nothing, and one alone says nothing."""
    return len(bars.rows) > 1 and min(value for _, value, _ in bars.rows) >= 0


def _panels(facts: Facts) -> list[tuple[str, Bars]]:
    panels = [("size", _sizes(facts))]
    if facts.metrics:
        metric = facts.task.primary
        panels.insert(0, (metric.label, _accuracy(facts.metrics, metric)))
    if facts.benchmark:
        device, threads = facts.devices[0], min(facts.threads)
        found = [
            (result.model, result.summary.median / 1e6, milliseconds(result))
            for result in facts.benchmark
            if (result.device, result.threads) == (device, threads)
        ]
        panels.append((f"latency on {device}, {threads_text(threads)}", Bars(found)))
    return panels


def _accuracy(metrics: Evaluation, metric: Metric) -> Bars:
    """Of each phase, with the interval of the models that have one."""
    values = {row.phase: row.value(metric) for row in metrics.phases} or metrics.values(metric)
    between = [
        metrics.models[name].interval(metric) if name in metrics.models else None for name in values
    ]
    rows = [(name, value, metric.figure(value)) for name, value in values.items()]
    return Bars(rows, 1.0 if metric.share else 0.0, between)


def _sizes(facts: Facts) -> Bars:
    shipped = facts.model.bytes if facts.model and facts.shipped != "float" else 0
    sizes = {"float": facts.float_bytes or 0, facts.shipped: shipped}
    return Bars([(name, size, size_text(size)) for name, size in sizes.items() if size])


def gate_table(facts: Facts) -> list[Block]:
    """Each gate that the pipeline has, as far as it was measured."""
    if facts.origin is None:
        return []
    stages = [row["name"] for row in facts.result.get("stages") or []]
    rows = [
        [gate.name, Held(gate.passed), gate.got, gate.limit]
        for gate in gates.measured(facts.origin.pipeline, gather(facts.run_dir, stages))
    ]
    return [Table(["gate", "", "measured", "limit"], rows)] if rows else []
