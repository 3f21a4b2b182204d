"""Stage ``cluster``: kernels of few distinct values in the part that trains, zeros of pruning kept.

Writes ``model.npz`` (all weights), ``float.tflite`` (the network as it is now, from raw inputs to
what ships), ``clusters.json`` (values and zeros of each kernel) and ``history.json``.
"""

from __future__ import annotations

import numpy as np

from tfedge.core.context import Context
from tfedge.core.outputs import ClusteredLayer, Clusters
from tfedge.errors import UnsupportedModel
from tfedge.modeling import invariants
from tfedge.modeling.compression.clustering import Clusterer
from tfedge.modeling.compression.sparsity import keep_zeros
from tfedge.modeling.nets.layers import kernel_of
from tfedge.stages import upstream
from tfedge.stages.retrain import Retraining


def run(ctx: Context) -> None:
    """Bring each chosen kernel down to ``cluster.clusters`` values. Frozen layers stay as they are,
    and so keep all of theirs."""
    settings = ctx.pipeline.cluster
    assert settings is not None
    part = Retraining(ctx, "cluster", upstream.weights(ctx))
    chosen = [name for name in part.chosen if name in part.trained]
    if not chosen:
        remedy = "see cluster.layers, cluster.also and cluster.unfreeze"
        raise UnsupportedModel("cluster finds no kernel that trains", settings.layers, remedy)
    model = part.cut()
    clusterer = Clusterer(model, chosen, settings)
    ctx.progress.note(
        f"{settings.clusters} values in each of {len(chosen)} kernels "
        f"({sum(part.before[name].size for name in chosen):,} weights) in the part from "
        f"{ctx.config['trains.cluster'] or 'the head'} up"
    )
    sparse = [name for name, layer in upstream.pruned(ctx).items() if not layer.frozen]
    others = [name for name in sparse if name in part.trained and name not in clusterer.layers]
    masks = keep_zeros(kernel_of(model.get_layer(name)) for name in others)
    trained = part.train(clusterer.model, masks)
    masks(part.steps)
    clusterer.finish()
    after = part.finish()
    invariants.zeros_kept(part.before, after, sparse, "clustering")
    layers = [
        ClusteredLayer(
            name=name,
            size=after[name].size,
            distinct=len(np.unique(after[name])),
            zeros=int(np.count_nonzero(after[name] == 0)),
            frozen=name not in chosen,
        )
        for name in part.chosen
    ]
    part.save("clusters.json", Clusters(clusters=settings.clusters, layers=layers, trained=trained))
