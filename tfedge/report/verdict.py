"""What a report begins with: what 8 bits cost in a sentence, how good, how large and how fast each
model is, and the gates."""

from __future__ import annotations

from tfedge.benchmark.measurements import Measurements
from tfedge.core import gates
from tfedge.core.outputs import Evaluation
from tfedge.core.result import StageResults
from tfedge.files.text import size_text
from tfedge.report.facts import Facts, figure
from tfedge.report.markup import milliseconds, threads_text
from tfedge.tasks.blocks import Bars, Block, Figure, Held, Panels, Table, Text, cell, p_text
from tfedge.tasks.task import Metric

_SIGNIFICANT = 0.05  # a p below it is called more than chance


def sentence(facts: Facts) -> list[Block]:
    """What the file that ships is worth, on how many examples, and whether it may ship."""
    metrics, metric = facts.metrics, facts.task.primary
    if metrics is None:
        return []
    plain, where = metrics.plain.value(metric), f"{metrics.n} {metrics.split} examples"
    if metrics.int8 is None:
        told = f"It ships in float: {metric.label} {figure(metric, metrics.plain)} on {where}"
    else:
        int8 = metrics.int8.value(metric)
        told = f"{_way(metrics)} {_cost(metric, plain, int8)} {metric.label}: "
        told += f"{metric.figure(plain)} in float, {metric.figure(int8)} in int8, on {where}"
        told += _by_chance(metrics)
    return [Text(f"**{told}; {_gates_text(facts)}.**")]


def _way(metrics: Evaluation) -> str:
    """What stands between the float model and int8: 8 bits, and what was done before them."""
    names = [row.phase for row in metrics.phases]
    between = names[names.index("float") + 1 : -1] if "float" in names else []
    return f"8 bits, after {' and '.join(between)}," if between else "8 bits"


def _cost(metric: Metric, plain: float, int8: float) -> str:
    lost = metric.lost(plain, int8)
    if metric.difference(abs(lost)) == metric.difference(0.0):
        return "change nothing in"
    return f"{'cost' if lost > 0 else 'gain'} {metric.difference(abs(lost))} of"


def _by_chance(metrics: Evaluation) -> str:
    """Whether float and int8 differ by more than chance, on the same examples."""
    last = metrics.phases[-1] if metrics.phases else None
    if last is None:
        return ""
    change = last.change_from_float or (last.change if last.against == "float" else None)
    if change is None:
        return ""
    more = "more" if change.p < _SIGNIFICANT else "no more"
    return f" (exact McNemar test: p {p_text(change.p)}, {more} than chance)"


def _gates_text(facts: Facts) -> str:
    if facts.origin is None:
        return "its gates are not known"
    found = judged(facts)
    if not found:
        evaluate = facts.origin.pipeline.evaluate
        was_set = evaluate is not None and evaluate.gates.model_dump(exclude_none=True)
        return "its gates were not judged" if was_set else "no gate was set"
    missed = [gate.name for gate in found if not gate.passed]
    if not missed:
        return "the only gate was passed" if len(found) == 1 else f"all {len(found)} gates passed"
    return f"gates missed: {cell(', '.join(missed))}"


def judged(facts: Facts) -> list[gates.Gate]:
    """Each gate that the pipeline has, as far as it was measured; none where it is not at hand."""
    if facts.origin is None:
        return []
    timed = Measurements(tuple(facts.benchmark), facts.gaps)
    made = StageResults(model=facts.model, metrics=facts.metrics, benchmark=timed)
    return gates.measured(facts.origin.pipeline, made)


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
    sizes = {"float": facts.float_bytes or 0}
    if facts.model and facts.shipped != "float":
        sizes[facts.shipped] = facts.model.bytes
    return Bars([(name, size, size_text(size)) for name, size in sizes.items() if size])


def gate_table(facts: Facts) -> list[Block]:
    """Each gate that the pipeline has, as far as it was measured."""
    rows = [[gate.name, Held(gate.passed), gate.got, gate.limit] for gate in judged(facts)]
    return [Table(["gate", "", "measured", "limit"], rows)] if rows else []
