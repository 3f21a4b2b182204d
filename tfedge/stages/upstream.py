"""What the stages that change kernels hand on: the newest weights, which layers carry zeros, which
clusters."""

from __future__ import annotations

from pathlib import Path

from tfedge.core.context import Context
from tfedge.core.outputs import ClusteredLayer, Clusters, SparseLayer, Sparsity, read


def weights(ctx: Context) -> Path:
    """``model.npz`` of the last stage that trained the float network."""
    return _newest(ctx, "model.npz")


def float_model(ctx: Context) -> Path:
    """``float.tflite`` of that stage: the same network, from raw inputs to what ships."""
    return _newest(ctx, "float.tflite")


def _newest(ctx: Context, file: str) -> Path:
    changed = (stage for stage in ("cluster", "prune") if ctx.has(f"{stage}/model.npz"))
    return ctx.inputs[f"{next(changed, 'finetune')}/{file}"]


def sparsity(ctx: Context) -> Sparsity | None:
    """What prune has written; None when nothing was pruned."""
    path = ctx.inputs.get("prune/sparsity.json")
    return None if path is None else read(path, Sparsity)


def pruned(ctx: Context) -> dict[str, SparseLayer]:
    """The layers that prune looked at, by name; empty when nothing was pruned."""
    found = sparsity(ctx)
    return {layer.name: layer for layer in found.layers} if found else {}


def clustered(ctx: Context) -> dict[str, ClusteredLayer]:
    """The layers that cluster looked at, by name; empty when nothing was clustered."""
    path = ctx.inputs.get("cluster/clusters.json")
    return {} if path is None else {layer.name: layer for layer in read(path, Clusters).layers}
