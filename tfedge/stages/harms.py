"""What the stage ``debug`` measures, in TensorFlow; ``sensitivity.py`` has the method."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from tfedge.catalog.backbones import BACKBONES, net
from tfedge.core.context import Context
from tfedge.modeling.compression.sensitivity import Mixtures, Outcome, agreement
from tfedge.modeling.compression.units import Graph
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh
from tfedge.modeling.nets.export import load_graph
from tfedge.modeling.nets.network import Spec
from tfedge.modeling.training.part import Samples
from tfedge.stages import handed_on
from tfedge.stages.held_out import evaluation_split
from tfedge.stages.quantize import scores, with_ranges
from tfedge.stages.samples import samples_of
from tfedge.tflite.runtime import predict

IMAGES = 64  # enough to tell layers apart; each is looked at once for every layer
FEW = 16  # of a quick look, at most …
_BUDGET = 1.6e11  # … and as many as these multiply-adds allow, some seconds on two cores …
_LEAST = 2  # … but so many
LIMIT = 0.02  # of the answers may change, when no gate says how much accuracy may be lost


def measure(ctx: Context, quick: bool = False) -> dict[str, Any]:
    """debug.json: the harm of each unit, and the fewest to keep, on images that no weight was
    trained on. ``quick``: on few images, and without looking what to keep."""
    fresh(ctx.pipeline.seed)
    samples = samples_of(ctx, views=False)
    facts = json.loads(ctx.inputs["quantize/quantize.json"].read_text(encoding="utf-8"))
    split = evaluation_split(samples.index)
    graph = _graph(ctx, samples, facts)
    count = _few(ctx, len(graph.units)) if quick else IMAGES
    rows = samples.representative(count, ctx.pipeline.seed, split)
    images = samples.source.pictures.pixels(rows)
    labels = np.asarray(samples.index.labels_of(rows))
    kept = facts.get("kept", {})
    mixtures = Mixtures(graph, images)
    update = ctx.progress.update
    harms = mixtures.harms(partial(update, "one layer in 8 bits", unit="images"))
    limit, gate = _limit(ctx)
    now = mixtures.outcome(kept)
    proposed = None
    if not quick:
        looking = partial(update, "looking what to keep", unit="layers")
        proposed = mixtures.propose(harms, limit, kept, looking)
    shipped = predict(ctx.inputs["convert/model.tflite"], images)

    def told(scores: np.ndarray) -> dict[str, Any]:
        top1 = float((scores.argmax(1) == labels).mean())
        return {"agreement": agreement(mixtures.reference, scores), "top1": top1}

    def mixture(outcome: Outcome) -> dict[str, Any]:
        found = {"kept": dict(outcome.kept), "divergence": outcome.divergence}
        return found | told(outcome.scores)

    return {
        "recipe": facts["recipe"],
        "ranges": facts["ranges"],
        "quick": quick,
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


def _few(ctx: Context, units: int) -> int:
    """How many images a quick look takes: as many as the budget allows, the same every time."""
    backbone, size = ctx.pipeline.backbone, ctx.pipeline.data.image_size
    native = BACKBONES[backbone.name].native_size
    once = net(backbone.name, backbone.alpha).macs * (size / native) ** 2
    return int(np.clip(_BUDGET / (once * units), _LEAST, FEW))


def _graph(ctx: Context, samples: Samples, facts: dict[str, Any]) -> Graph:
    """The graph with ranges: the one that was converted, or what stands for it where the converter
    finds ranges itself."""
    if facts["ranges"] == "graph":
        return Graph.of(load_graph(ctx.inputs["quantize/graph.pb"]))
    spec = Spec.read(ctx.inputs["backbone/base.json"], len(samples.index.classes))
    model = network.load(spec, network.load_weights(handed_on.weights(ctx)))
    network.whole_offset(model)
    model, _ = with_ranges(ctx, samples, spec, model, facts["representative"])
    return Graph.of(scores(spec, model))


def _limit(ctx: Context) -> tuple[float, str]:
    evaluate = ctx.pipeline.evaluate
    gate = evaluate.gates.max_accuracy_drop if evaluate else None
    return (LIMIT, "") if gate is None else (gate, "evaluate.gates.max_accuracy_drop")
