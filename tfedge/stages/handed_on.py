"""What the stages that change kernels hand on: the newest weights, which layers carry zeros, which
clusters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfedge.core.context import Context


def weights(ctx: Context) -> Path:
    """``model.npz`` of the last stage that trained the float network."""
    return _newest(ctx, "model.npz")


def float_model(ctx: Context) -> Path:
    """``float.tflite`` of that stage: the same network, from raw inputs to what ships."""
    return _newest(ctx, "float.tflite")


def _newest(ctx: Context, file: str) -> Path:
    changed = (stage for stage in ("cluster", "prune") if ctx.has(f"{stage}/model.npz"))
    return ctx.inputs[f"{next(changed, 'finetune')}/{file}"]


def pruned(ctx: Context) -> dict[str, dict[str, Any]]:
    """The rows of ``sparsity.json`` by layer; empty when nothing was pruned."""
    return _layers(ctx, "prune/sparsity.json")


def clustered(ctx: Context) -> dict[str, dict[str, Any]]:
    """The rows of ``clusters.json`` by layer; empty when nothing was clustered."""
    return _layers(ctx, "cluster/clusters.json")


def _layers(ctx: Context, file: str) -> dict[str, dict[str, Any]]:
    if not ctx.has(file):
        return {}
    report = json.loads(ctx.inputs[file].read_text(encoding="utf-8"))
    return {layer["name"]: layer for layer in report["layers"]}
