"""Stage ``quantize``: the recipes that make a network ready for int8.

Writes ``graph.pb`` (a frozen graph, float32 pixels in and scores out, with its ranges inside after
``qat`` and when layers are kept in higher precision) and ``quantize.json`` (recipe, the pictures
that calibrated it, history; ``kept``: what ``quantize.keep`` means in this network).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tfedge.catalog.unfreeze import first_trained
from tfedge.core.context import Context
from tfedge.errors import UnsupportedModel
from tfedge.modeling import invariants, mixed, network, quantization, training
from tfedge.modeling.env import fresh, tf
from tfedge.modeling.export import freeze, save_graph
from tfedge.modeling.features import Activations, digest, of_pixels
from tfedge.modeling.network import POOL, Spec
from tfedge.modeling.part import Samples, Teacher
from tfedge.modeling.sparsity import keep_zeros
from tfedge.modeling.units import Graph, Kept, Precision
from tfedge.stages import handed_on

_BATCH = 32


def run(ctx: Context) -> None:
    """Apply ``quantize.recipe``."""
    settings = ctx.pipeline.quantize
    assert settings is not None
    fresh(ctx.pipeline.seed)
    samples = Samples.of(ctx)
    spec = Spec.read(ctx.inputs["backbone/base.json"], len(samples.index.classes))
    model = network.load(spec, network.load_weights(handed_on.weights(ctx)))
    network.whole_offset(model)
    rows = samples.representative(settings.representative, ctx.pipeline.seed)
    facts: dict[str, Any] = {"recipe": settings.recipe, "representative": rows}
    if settings.recipe == "qat":
        model, facts["history"] = _qat(samples, spec, model, rows)
    elif settings.keep:
        model = with_ranges(samples, model, rows)
    concrete = scores(spec, model)
    if settings.keep:
        facts["kept"] = Graph.of(concrete).kept(settings.keep)
    save_graph(concrete, ctx.out / "graph.pb")
    (ctx.out / "quantize.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def scores(spec: Spec, model: Any) -> Any:
    """The frozen graph from float32 pixels to softmax scores."""
    return freeze(
        lambda pixels: tf.nn.softmax(model(pixels, training=False)),
        (spec.size, spec.size, 3),
        tf.float32,
    )


def with_ranges(samples: Samples, model: Any, rows: list[int]) -> Any:
    """The network, which is not to be used any more, with fake-quant nodes and nothing trained.

    Raises UnsupportedModel for layers that have none.
    """
    try:
        return quantization.ranged(model, _batches(samples, rows), preserve_zeros=False)
    except UnsupportedModel as error:
        raise UnsupportedModel(
            "quantize.keep and quantize.debug can't be had for",
            error.layers,
            "leave both out, or take another backbone",
        ) from error


def _qat(samples: Samples, spec: Spec, model: Any, rows: list[int]) -> tuple[Any, training.History]:
    """Quantization-aware training of the top part, above a frozen part that is int8 already."""
    ctx, settings = samples.ctx, samples.ctx.pipeline.quantize
    assert settings is not None
    sparse = [name for name, layer in handed_on.pruned(ctx).items() if not layer["frozen"]]
    clustered = [name for name, layer in handed_on.clustered(ctx).items() if not layer["frozen"]]
    ctx.progress.update("observing ranges", 0, len(rows), "pictures")
    pixels = _batches(samples, rows)
    wrapped = quantization.ranged(model, pixels, preserve_zeros=bool(sparse), clustered=clustered)
    layer = network.boundary(spec, first_trained(ctx.pipeline, "quantize"))
    kept, between = _keep(settings.keep, spec, wrapped, layer)
    lower, upper = network.cut(wrapped, layer, quantization.PREFIX) if layer else (None, wrapped)
    frozen = quantization.state(lower) if lower is not None else {}
    before = quantization.kernels(wrapped)
    teacher = Teacher(samples)
    gather = _int8_activations(samples, spec, lower, kept, between) if lower is not None else None
    batches = samples.batches(settings, teacher.wanted(settings), gather)
    masks = _masks(wrapped, sparse)
    pool = quantization.PREFIX + POOL
    history = teacher.train(upper, batches, settings, pool, "qat", masks)
    masks(settings.epochs * batches.steps)
    if lower is not None:
        invariants.unchanged("frozen layers through QAT", frozen, quantization.state(lower))
    invariants.zeros_kept(before, quantization.kernels(wrapped), sparse)
    invariants.clusters_kept(before, quantization.kernels(wrapped), clustered)
    quantization.unmask(wrapped)
    return wrapped, history


def _keep(
    patterns: Mapping[str, Precision], spec: Spec, wrapped: Any, layer: str
) -> tuple[Kept, Precision]:
    """Let what is kept above 8 bits train so; which units, and the precision at ``layer``."""
    if not patterns:
        return {}, "int8"
    graph = Graph.of(scores(spec, wrapped))
    kept = graph.kept(patterns)
    mixed.train_in_float(wrapped, graph, kept)
    return kept, graph.tensor_of(layer, kept)


def _int8_activations(
    samples: Samples, spec: Spec, lower: Any, kept: Kept, between: Precision
) -> Activations:
    """What the frozen part, as .tflite in LiteRT, gives: the very numbers of the device.

    ``between`` is the precision in which its result is read.
    """

    def convert() -> bytes:
        quantization.unmask(lower)  # it does not train
        concrete = freeze(
            lambda pixels: lower(pixels, training=False), (spec.size, spec.size, 3), tf.float32
        )
        # Asked for float, the converter would leave the last rounding of a kept layer out.
        rounded = tf.int8 if kept and between == "int8" else None
        return mixed.convert(concrete, kept, output_type=rounded, output=between, signature=False)

    more = f" {json.dumps([kept, between], sort_keys=True)}" if kept else ""
    return of_pixels(
        samples.source,
        samples.items,
        name=digest(lower, f"int8{more}"),
        shape=lower.output_shape[1:],
        convert=convert,
        what="int8 activations",
    )


def _batches(samples: Samples, rows: list[int]) -> Iterator[np.ndarray]:
    """Float32 pixels [B, S, S, 3] of representative pictures, in whole batches."""
    size = min(_BATCH, len(rows))
    for first in range(0, len(rows) - size + 1, size):
        yield samples.source.pictures.pixels(rows[first : first + size]).astype(np.float32)


def _masks(wrapped: Any, sparse: list[str]) -> Callable[[int], None]:
    """For depthwise kernels, which TF-MOT's prune-preserving scheme passes over."""
    return keep_zeros(
        weight
        for layer in wrapped.layers
        if layer.name.removeprefix(quantization.PREFIX) in sparse
        for weight, quantizer, _ in layer._weight_vars
        if "PrunePreserve" not in type(quantizer).__name__
    )
