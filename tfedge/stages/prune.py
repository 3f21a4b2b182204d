"""Stage ``prune``: magnitude pruning of the part that trains, fine-tuned on the way, stripped.

Writes ``model.npz`` (all weights, zeros in place), ``sparsity.json`` and ``history.json``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfedge.catalog.unfreeze import MAX_SHARE, block_name
from tfedge.core.context import Context
from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.modeling.backbone import Weights
from tfedge.modeling.sparsity import Pruner, allocate
from tfedge.stages.retrain import Retraining


def run(ctx: Context) -> None:
    """Prune to ``prune.sparsity`` of all prunable weights. Frozen layers are not touched."""
    pipeline, settings = ctx.pipeline, ctx.pipeline.prune
    assert settings is not None
    part = Retraining(ctx, "prune", ctx.inputs["finetune/model.npz"])
    kernels = {name: part.before[name] for name in part.chosen}
    total = sum(kernel.size for kernel in kernels.values())
    if not total:
        raise UnsupportedModel("prune finds no kernel", settings.layers, "see prune.layers")
    zeros = math.ceil(settings.sparsity * total)
    counts = allocate(
        settings, {n: k for n, k in kernels.items() if n in part.trained}, zeros, MAX_SHARE
    )

    model = part.cut()
    pruner = Pruner(model, counts, settings, part.steps)
    ctx.progress.note(
        f"pruning {zeros:,} of {total:,} weights in the part from "
        f"{block_name(pipeline, 'prune') or 'the head'} up, "
        f"{min(c / kernels[n].size for n, c in counts.items()):.0%} to "
        f"{max(c / kernels[n].size for n, c in counts.items()):.0%} a layer"
    )
    part.train(pruner.model, pruner.before_step)
    pruner.finish()

    after = part.finish()
    report = _report(settings.sparsity, counts, {name: after[name] for name in part.chosen})
    if report["zeros"] < zeros - len(counts):
        raise InvariantBroken("prune.sparsity", f"{zeros:,} zeros", f"{report['zeros']:,}")
    part.save("sparsity.json", report)


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
