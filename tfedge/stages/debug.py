"""Stage ``debug``: what 8 bits cost in each layer, and which layers are worth keeping.

Writes ``debug.json``: the units (ops of the device) with the harm that quantizing each alone does,
the most harmful first, and the fewest to keep. See ``modeling/sensitivity.py`` for the method.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from tfedge.core.context import Context
from tfedge.data.files import write_text
from tfedge.modeling import network
from tfedge.modeling.env import fresh
from tfedge.modeling.export import load_graph
from tfedge.modeling.network import Spec
from tfedge.modeling.part import Samples
from tfedge.modeling.sensitivity import Mixtures, Outcome, agreement
from tfedge.modeling.units import Graph
from tfedge.stages import handed_on
from tfedge.stages.held_out import evaluation_split
from tfedge.stages.quantize import scores, with_ranges
from tfedge.tflite.runtime import predict

PICTURES = 64  # enough to tell layers apart; each is looked at once for every layer
LIMIT = 0.02  # of the answers may change, when no gate says how much accuracy may be lost


def run(ctx: Context) -> None:
    """Measure on pictures that no weight was trained on."""
    fresh(ctx.pipeline.seed)
    samples = Samples.of(ctx)
    facts = json.loads(ctx.inputs["quantize/quantize.json"].read_text(encoding="utf-8"))
    split = evaluation_split(samples.index)
    rows = samples.representative(PICTURES, ctx.pipeline.seed, split)
    pictures = samples.source.pictures.pixels(rows)
    labels = np.asarray(samples.index.labels_of(rows))
    kept = facts.get("kept", {})
    mixtures = Mixtures(_graph(ctx, samples, facts), pictures)
    update = ctx.progress.update
    harms = mixtures.harms(partial(update, "one layer in 8 bits", unit="pictures"))
    limit, gate = _limit(ctx)
    now = mixtures.outcome(kept)
    proposed = mixtures.propose(
        harms, limit, kept, partial(update, "looking what to keep", unit="layers")
    )
    shipped = predict(ctx.inputs["convert/model.tflite"], pictures)

    def told(scores: np.ndarray) -> dict[str, Any]:
        top1 = float((scores.argmax(1) == labels).mean())
        return {"agreement": agreement(mixtures.reference, scores), "top1": top1}

    def mixture(outcome: Outcome) -> dict[str, Any]:
        found = {"kept": dict(outcome.kept), "divergence": outcome.divergence}
        return found | told(outcome.scores)

    result = {
        "recipe": facts["recipe"],
        "split": split,
        "n": len(rows),
        "limit": limit,
        "limit_from": gate,
        "float": told(mixtures.reference),
        "now": mixture(now),
        "file": told(shipped),
        "proposed": None if proposed is None else mixture(proposed),
        "layers": [asdict(harm) | {"kept": kept.get(harm.unit, "int8")} for harm in harms],
    }
    write_text(ctx.out / "debug.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def _graph(ctx: Context, samples: Samples, facts: dict[str, Any]) -> Graph:
    """The graph with ranges: the one that was converted, or what stands for ``ptq``'s, in which
    the converter finds ranges itself."""
    if facts["recipe"] == "qat" or facts.get("kept"):
        return Graph.of(load_graph(ctx.inputs["quantize/graph.pb"]))
    spec = Spec.read(ctx.inputs["backbone/base.json"], len(samples.index.classes))
    model = network.load(spec, network.load_weights(handed_on.weights(ctx)))
    network.whole_offset(model)
    return Graph.of(scores(spec, with_ranges(samples, model, facts["representative"])))


def _limit(ctx: Context) -> tuple[float, str]:
    evaluate = ctx.pipeline.evaluate
    gate = evaluate.gates.max_accuracy_drop if evaluate else None
    return (LIMIT, "") if gate is None else (gate, "evaluate.gates.max_accuracy_drop")
