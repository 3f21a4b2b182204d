"""Stage ``backbone``: the pretrained weights, checked against the net, in one format.

Writes ``base.npz`` (``layer/weight`` → float32, sorted, as the net takes its inputs, batch norm not
folded) and ``base.json`` (which net, its normalisation, where the weights are from).
"""

from __future__ import annotations

from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.modeling.nets.env import fresh
from tfedge.modeling.nets.network import BESIDE, HEAD, save_weights
from tfedge.stages.heads import head_class


def run(ctx: Context) -> None:
    """Get the weights that the pipeline asks for. Errors are those of ``weights.source.load``."""
    fresh(ctx.config["weights_seed"] or 0)  # nothing but random weights depends on a seed
    weights, base = head_class(ctx).base(ctx.pipeline, ctx.cache, ctx.progress)
    save_weights(ctx.out / "base.npz", weights)
    layers = len({key.split("/")[0] for key in weights} - {HEAD, BESIDE})
    outputs.write(ctx.out / "base.json", base.model_copy(update={"layers": layers}))
