"""Stage ``prune``: magnitude pruning of the part that trains, fine-tuned on the way, stripped.

Writes ``model.npz`` (all weights, zeros in place), ``float.tflite`` (the network as it is now, from
raw inputs to what ships), ``sparsity.json`` and ``history.json``.
"""

from __future__ import annotations

import math

import numpy as np

from tfedge.catalog.recipes import pruning
from tfedge.core.context import Context
from tfedge.core.outputs import SparseLayer, Sparsity
from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.modeling.compression import structure
from tfedge.modeling.compression.allocation import allocate
from tfedge.modeling.compression.damage import EXAMPLES, scan
from tfedge.modeling.compression.sparsity import Pruner
from tfedge.modeling.nets.backbone import Weights
from tfedge.modeling.nets.network import POOL
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.structure import block_area, supports_structure
from tfedge.pipeline.unfreeze import MAX_SHARE
from tfedge.stages.retrain import Retraining


def run(ctx: Context) -> None:
    """Prune to ``prune.sparsity`` of all prunable weights. Frozen layers are not touched."""
    settings = ctx.pipeline.prune
    assert settings is not None
    part = Retraining(ctx, "prune", ctx.inputs["finetune/model.npz"])
    kernels = {name: part.before[name] for name in part.chosen}
    total = sum(kernel.size for kernel in kernels.values())
    if not total:
        raise UnsupportedModel("prune finds no kernel", settings.layers, "see prune.layers")
    zeros = math.ceil(settings.sparsity * total)
    dense = {
        n for n, k in kernels.items() if not supports_structure(settings, k.shape, part.chosen[n])
    }
    carrying = {n: k for n, k in kernels.items() if n in part.trained - dense}

    model = part.cut()
    by_damage = settings.allocation == "sensitivity"
    damage = scan(model, POOL, part.examples(EXAMPLES), settings) if by_damage else None
    counts = allocate(settings, carrying, zeros, MAX_SHARE, damage)
    if settings.sparsity_m_by_n is not None:
        zeros = sum(counts.values())  # it leaves no choice
    pruner = Pruner(model, counts, settings, part.steps)
    ctx.progress.note(
        f"pruning {zeros:,} of {total:,} weights in the part from "
        f"{ctx.config['trains.prune'] or 'the head'} up, "
        f"{min(c / kernels[n].size for n, c in counts.items()):.0%} to "
        f"{max(c / kernels[n].size for n, c in counts.items()):.0%} a layer"
    )
    trained = part.train(pruner.model, pruner.before_step, pruner.reached_at)
    pruner.finish()

    after = part.finish()
    pruned = {name: after[name] for name in part.chosen}
    structure.check_zeros("after pruning", pruned, settings, counts)
    counts |= dict.fromkeys(part.trained & dense, 0)
    found = _achieved_sparsity(settings, counts, pruned).model_copy(update={"trained": trained})
    if found.zeros < zeros - len(counts) * block_area(settings):
        raise InvariantBroken("prune.sparsity", f"{zeros:,} zeros", f"{found.zeros:,}")
    part.save("sparsity.json", found)


def _achieved_sparsity(settings: Prune, counts: dict[str, int], kernels: Weights) -> Sparsity:
    layers = [
        SparseLayer(
            name=name,
            size=kernel.size,
            zeros=int(np.count_nonzero(kernel == 0)),
            target=counts.get(name, 0),
            frozen=name not in counts,
        )
        for name, kernel in kernels.items()
    ]
    total, zeros = sum(layer.size for layer in layers), sum(layer.zeros for layer in layers)
    return Sparsity(
        target=settings.sparsity,
        reached=zeros / total,
        total=total,
        zeros=zeros,
        layers=layers,
        structure=structure.described(settings),
        recipe=settings.recipe if pruning(settings.recipe).sparse_file else None,
    )
