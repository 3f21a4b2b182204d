"""Stage ``debug``: what 8 bits cost in each layer, and which layers are worth keeping.

Writes ``debug.json``: the units (ops of the device) with the harm that quantizing each alone does,
the most harmful first, and the fewest to keep. ``quantize.debug: auto`` takes a quick look, and
only where int8 lost more than a point, and not before it was int8; else ``needed`` is false and
``why`` says so.
"""

from __future__ import annotations

from tfedge.catalog.recipes import quantizing
from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.core.outputs import Debug, Evaluation, LayerComparison, NoComparison
from tfedge.errors import UnsupportedModel
from tfedge.report.facts import harmed
from tfedge.stages.advice import below_before, below_float, point, worst_phase
from tfedge.stages.examples import primary_of


def run(ctx: Context) -> None:
    """Measure, unless there is no need to."""
    quantize = ctx.pipeline.quantize
    assert quantize is not None
    found = _automatic(ctx) if quantize.debug == "auto" else _measured(ctx, quick=False)
    if isinstance(found, LayerComparison):
        for text in harmed(found):
            ctx.progress.note(f"warning: {text}")
    outputs.write(ctx.out / "debug.json", Debug(found))


def _automatic(ctx: Context) -> LayerComparison | NoComparison:
    why = _reason_to_skip(ctx)
    if why:
        return NoComparison(needed=False, why=why)
    try:
        return _measured(ctx, quick=True)
    except UnsupportedModel as error:  # nobody asked for it: no reason to stop the run
        ctx.progress.note(f"the layers can't be compared: {error}")
        return NoComparison(needed=True, why=str(error))


def _reason_to_skip(ctx: Context) -> str:
    """Why the layers need not be looked at; "" when they should be."""
    if ctx.has("quantize/quantize.json"):
        made = outputs.read(ctx.inputs["quantize/quantize.json"], outputs.Quantized)
        if quantizing(made.recipe).float_activations:
            return "its weights alone have 8 bits"
    if not ctx.has("evaluate/metrics.json"):
        return "nothing was evaluated"
    evaluation = outputs.read(ctx.inputs["evaluate/metrics.json"], Evaluation)
    metric = primary_of(ctx)
    value = evaluation.values(metric)
    gates = ctx.pipeline.evaluate.gates if ctx.pipeline.evaluate else None
    gate = gates.max_accuracy_drop if gates else None
    limit = point(metric, value["float"])
    limit = limit if gate is None else min(limit, gate)
    figures = ", ".join(f"{name} {metric.text(found)}" for name, found in value.items())
    if not below_float(value, metric, limit):
        return f"{metric.label} of int8 is not worse than float by more than {limit:g} ({figures})"
    cause = worst_phase(evaluation.phases, metric)
    if cause == "int8" or below_before(evaluation.phases, metric, limit):
        return ""
    return f"most of what int8 lost against float was lost in {cause}, not by 8 bits ({figures})"


def _measured(ctx: Context, quick: bool) -> LayerComparison:
    from tfedge.stages.harms import measure  # TensorFlow, which is slow to load

    return measure(ctx, quick)
