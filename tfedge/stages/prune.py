"""Stage ``prune``: magnitude pruning of the part that trains, fine-tuned on the way, stripped.

Writes ``model.npz`` (all weights, zeros in place), ``sparsity.json`` and ``history.json``.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from tfedge.catalog.structure import XNNPACK, block_area, carries
from tfedge.catalog.unfreeze import MAX_SHARE, block_name, first_trained, prunable
from tfedge.core.context import Context
from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.modeling import invariants, network, structure
from tfedge.modeling.allocation import allocate
from tfedge.modeling.backbone import Weights, weights_of
from tfedge.modeling.env import fresh
from tfedge.modeling.network import HEAD, POOL, Spec
from tfedge.modeling.part import Samples, Teacher, TopPart
from tfedge.modeling.sparsity import Pruner


def run(ctx: Context) -> None:
    """Prune to ``prune.sparsity`` of all prunable weights. Frozen layers are not touched."""
    pipeline, settings = ctx.pipeline, ctx.pipeline.prune
    assert settings is not None
    fresh(pipeline.seed)
    samples = Samples.of(ctx)
    spec = Spec.read(ctx.inputs["backbone/base.json"], len(samples.index.classes))
    before = network.load_weights(ctx.inputs["finetune/model.npz"])
    model = network.load(spec, before)
    first = first_trained(pipeline, "prune")

    kinds = {kernel.layer: kernel.kind for kernel in prunable(settings, spec.blocks)}
    kinds |= {HEAD: "dense"} if "head" in settings.also and not settings.layers else {}
    names = list(kinds)
    kernels = {name: before[_kernel(name, before)] for name in names}
    open_blocks = spec.blocks[first:] if first is not None else ()
    trained = {kernel.layer for block in open_blocks for kernel in block.kernels} | {HEAD}
    total = sum(kernel.size for kernel in kernels.values())
    if not total:
        raise UnsupportedModel("prune finds no kernel", settings.layers, "see prune.layers")
    zeros = math.ceil(settings.sparsity * total)
    dense = {n for n, k in kernels.items() if not carries(settings, k.shape, kinds[n])}
    carrying = {n: k for n, k in kernels.items() if n in trained - dense}
    counts = allocate(settings, carrying, zeros, MAX_SHARE)
    if settings.sparsity_m_by_n is not None:
        zeros = sum(counts.values())  # it leaves no choice

    top = TopPart(samples, model, network.boundary(spec, first))
    network.inference_norm(model)
    teacher = Teacher(samples)
    gather = top.training_inputs("activations")
    batches = samples.batches(settings, teacher.wanted(settings), gather)
    pruner = Pruner(top.model, counts, settings, batches.steps * settings.epochs)
    ctx.progress.note(
        f"pruning {zeros:,} of {total:,} weights in the part from "
        f"{block_name(pipeline, 'prune') or 'the head'} up, "
        f"{min(c / kernels[n].size for n, c in counts.items()):.0%} to "
        f"{max(c / kernels[n].size for n, c in counts.items()):.0%} a layer"
    )
    history = teacher.train(pruner.model, batches, settings, POOL, "prune", pruner.before_step)
    pruner.finish()

    after = weights_of(model)
    frozen = {layer.name for layer in top.lower.layers} if top.lower is not None else set()
    invariants.unchanged(
        "frozen layers through pruning",
        {k: v for k, v in before.items() if k.split("/")[0] in frozen},
        after,
    )
    pruned = {n: after[_kernel(n, after)] for n in names}
    structure.hold("after pruning", pruned, settings, counts)
    counts |= dict.fromkeys(trained & dense, 0)
    report = _report(settings.sparsity, counts, pruned)
    report |= structure.described(settings)
    if settings.recipe == XNNPACK:
        report["recipe"] = XNNPACK
    if report["zeros"] < zeros - len(counts) * block_area(settings):
        raise InvariantBroken("prune.sparsity", f"{zeros:,} zeros", f"{report['zeros']:,}")
    network.save_weights(ctx.out / "model.npz", after)
    (ctx.out / "sparsity.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    (ctx.out / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")


def _kernel(layer: str, weights: Weights) -> str:
    depthwise = f"{layer}/depthwise_kernel"
    return depthwise if depthwise in weights else f"{layer}/kernel"


def _report(target: float, counts: dict[str, int], kernels: Weights) -> dict[str, Any]:
    layers = [
        {
            "name": name,
            "size": kernel.size,
            "zeros": int(np.count_nonzero(kernel == 0)),
            "target": counts.get(name, 0),
            "frozen": name not in counts,
        }
        for name, kernel in kernels.items()
    ]
    total, zeros = (sum(layer[key] for layer in layers) for key in ("size", "zeros"))  # type: ignore[misc]
    return {
        "target": target,
        "reached": zeros / total,
        "total": total,
        "zeros": zeros,
        "layers": layers,
    }
