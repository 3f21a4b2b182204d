"""What the stage ``debug`` measures, in TensorFlow; ``sensitivity.py`` has the method."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.core.outputs import LayerComparison, LayerHarm, Mixture, Quantized
from tfedge.modeling.compression.sensitivity import Mixtures, Outcome
from tfedge.modeling.compression.units import Graph
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh
from tfedge.modeling.nets.export import load_graph
from tfedge.stages import upstream
from tfedge.stages.examples import primary_of
from tfedge.stages.heads import Head, head_of
from tfedge.stages.quantize import with_ranges
from tfedge.tasks.streams import evaluation_split
from tfedge.tflite.runtime import predict

EXAMPLES = 64  # enough to tell layers apart; each is looked at once for every layer
FEW = 16  # of a quick look, at most …
_BUDGET = 1.6e11  # … and as many as these multiply-adds allow, some seconds on two cores …
_LEAST = 2  # … but so many
LIMIT = 0.02  # of the answers may change, when no gate says how much accuracy may be lost


def measure(ctx: Context, quick: bool = False) -> LayerComparison:
    """The harm of each unit, and the fewest to keep, on examples that no weight was
    trained on. ``quick``: on few of them, and without looking what to keep."""
    fresh(ctx.pipeline.seed)
    head, metric = head_of(ctx, views=False), primary_of(ctx)
    work, examples = head.work, head.samples.examples
    quantized = outputs.read(ctx.inputs["quantize/quantize.json"], Quantized)
    split = evaluation_split(examples)
    graph = _graph(ctx, head, quantized)
    count = _quick_look_size(head, len(graph.units)) if quick else EXAMPLES
    rows = examples.representative(count, ctx.pipeline.seed, split)
    inputs, targets = examples.inputs(rows), examples.targets(rows)
    kept = quantized.kept or {}
    mixtures = Mixtures(graph, inputs, work)
    update = ctx.progress.update
    harms = mixtures.harms(partial(update, "one layer in 8 bits", unit="examples"))
    limit, gate = _limit(ctx)
    now = mixtures.outcome(kept)
    proposed = None
    if not quick:
        looking = partial(update, "looking what to keep", unit="layers")
        proposed = mixtures.propose(harms, limit, kept, looking)
    shipped = predict(ctx.inputs["convert/model.tflite"], inputs)

    def judged(outputs: np.ndarray, **more: Any) -> Mixture:
        alike = float(work.same(mixtures.reference, outputs).mean())
        figure = metric.named(work.primary(outputs, targets))
        return Mixture(agreement=alike, **figure, **more)

    def mixture(outcome: Outcome) -> Mixture:
        kept = dict(outcome.kept)
        return judged(outcome.scores, kept=kept, divergence=outcome.divergence)

    return LayerComparison(
        recipe=quantized.recipe,
        ranges=quantized.ranges,
        quick=quick,
        split=split,
        n=len(rows),
        limit=limit,
        limit_from=gate,
        plain=judged(mixtures.reference),
        now=mixture(now),
        file=judged(shipped),
        proposed=None if proposed is None else mixture(proposed),
        layers=[LayerHarm(**asdict(harm), kept=kept.get(harm.unit, "int8")) for harm in harms],
    )


def _quick_look_size(head: Head, units: int) -> int:
    """How many examples a quick look takes: as many as the budget allows, the same every time."""
    return int(np.clip(_BUDGET / (head.macs * units), _LEAST, FEW))


def _graph(ctx: Context, head: Head, quantized: Quantized) -> Graph:
    """The graph with ranges: the one that was converted, or what stands for it where the converter
    finds ranges itself."""
    if quantized.ranges == "graph":
        return Graph.of(load_graph(ctx.inputs["quantize/graph.pb"]))
    model = head.load_for_int8(network.load_weights(upstream.weights(ctx)))
    model, _ = with_ranges(ctx, head, model, quantized.representative)
    return Graph.of(head.graph(model))


def _limit(ctx: Context) -> tuple[float, str]:
    evaluate = ctx.pipeline.evaluate
    gate = evaluate.gates.max_accuracy_drop if evaluate else None
    return (LIMIT, "") if gate is None else (gate, "evaluate.gates.max_accuracy_drop")
