"""Stage ``quantize``: the recipes that make a network ready for int8.

Writes ``graph.pb`` (a frozen graph, float32 inputs in and outputs as they ship, with its ranges
inside after ``qat`` and when layers are kept in higher precision) and ``quantize.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from tfedge.catalog.recipes import AUTO, DYNAMIC, PTQ, QAT, Quantizing, quantizing
from tfedge.core.context import Context
from tfedge.core.outputs import ClusteredLayer, Correction, Quantized, SparseLayer, Trial, write
from tfedge.modeling import invariants
from tfedge.modeling.compression import calibration, mixed, quantization
from tfedge.modeling.compression.quantize_layers import StraightThrough
from tfedge.modeling.compression.sparsity import keep_zeros
from tfedge.modeling.compression.units import Graph, Kept, Precision
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, tf
from tfedge.modeling.nets.export import Frozen, save_graph, to_tflite
from tfedge.modeling.nets.network import POOL
from tfedge.modeling.nets.ports import shapes_of
from tfedge.modeling.training import loop
from tfedge.modeling.training.features import Item, compute, digest, joined
from tfedge.modeling.training.loop import Gather, Rows
from tfedge.modeling.training.part import Samples
from tfedge.report.trained import of_8_bits
from tfedge.stages import upstream
from tfedge.stages.examples import primary_of
from tfedge.stages.heads import Head, head_of, teacher_of
from tfedge.stages.judge import Judge, trial
from tfedge.stages.training_log import recorder
from tfedge.tasks.task import Metric
from tfedge.tflite.runtime import predict

_TRIED = 300  # training examples that judge ptq, at most


@dataclass
class _Job:
    """A network on its way to 8 bits, and what quantize.json will say of it."""

    ctx: Context
    head: Head
    model: Any  # wrapped for 8 bits, once it has ranges
    rows: list[int]  # of the examples that calibrate it
    recipe: Quantizing = PTQ  # that it was quantized by in the end
    ranges: Literal["graph", "converter"] = "graph"
    correction: Correction | None = None
    tried: Trial | None = None
    history: Rows | None = None
    trained: Trial | None = None

    def calibrate(self) -> None:
        """Give the network its ranges."""
        self.model, self.correction = with_ranges(self.ctx, self.head, self.model, self.rows)

    def train(self) -> None:
        """Learn with the rounding of 8 bits."""
        self.recipe = QAT
        self.history, self.trained = _qat(self.ctx, self.head, self.model)

    def facts(self, kept: dict[str, str] | None) -> Quantized:
        return Quantized(
            recipe=self.recipe.name,
            representative=self.rows,
            ranges=self.ranges,
            correction=self.correction,
            tried=[self.tried] if self.tried else None,
            history=self.history,
            trained=self.trained,
            kept=kept,
        )


def run(ctx: Context) -> None:
    """Apply ``quantize.recipe``."""
    settings = ctx.pipeline.quantize
    assert settings is not None
    fresh(ctx.pipeline.seed)
    head = head_of(ctx)
    plain = quantizing(settings.recipe).float_activations
    load = head.load if plain else head.load_for_int8
    model = load(network.load_weights(upstream.weights(ctx)))
    rows = head.samples.representative(settings.representative, ctx.pipeline.seed)
    job = _Job(ctx, head, model, rows)
    _HANDLERS[settings.recipe](job)
    graph = head.graph(job.model)
    save_graph(graph, ctx.out / "graph.pb")
    kept = dict(Graph.of(graph).kept(settings.keep)) if settings.keep else None
    write(ctx.out / "quantize.json", job.facts(kept))


def _by_calibration(job: _Job) -> None:
    """``ptq``: ranges of ours, or the converter's own where nothing is corrected and they serve."""
    settings = job.ctx.pipeline.quantize
    assert settings is not None
    ours = job.head.always_ranged or quantization.wants_ranges(job.model)
    if settings.correct or settings.keep or ours:
        job.calibrate()
    else:
        job.ranges = "converter"


def _by_training(job: _Job) -> None:
    """``qat``."""
    job.calibrate()
    job.train()


def _of_weights(job: _Job) -> None:
    """``dynamic``: the converter rounds the weights, and nothing else has a range."""
    job.recipe, job.ranges = DYNAMIC, "converter"


def _by_measured_cost(job: _Job) -> None:
    """``auto``: calibrate, and train where that costs answers, or from the start where something
    has to recover."""
    job.calibrate()
    if not quantizing(job.ctx.config["first_recipe"]).trains:
        job.tried = _tried(job.ctx, job.head, job.head.graph(job.model), job.rows)
        job.ctx.progress.note(_trial_text(job.tried, primary_of(job.ctx)))
        if not job.tried.significant:
            return
    job.train()


_HANDLERS: dict[str, Callable[[_Job], None]] = {
    PTQ.name: _by_calibration,
    QAT.name: _by_training,
    DYNAMIC.name: _of_weights,
    AUTO: _by_measured_cost,
}


def with_ranges(
    ctx: Context, head: Head, model: Any, rows: list[int]
) -> tuple[Any, Correction | None]:
    """The network, which is not to be used any more, wrapped for 8 bits with ranges from these
    examples, and corrected if ``quantize.correct`` says so; nothing is trained. Also what
    correcting brought.

    Raises UnsupportedModel for layers that have no 8-bit form.
    """
    settings = ctx.pipeline.quantize
    assert settings is not None
    preserve = bool(_open(upstream.pruned(ctx)))
    clustered = _open(upstream.clustered(ctx))
    ctx.progress.update("observing ranges", 0, len(rows), "examples")
    if not settings.correct:
        return head.ranged(model, rows, preserve_zeros=preserve, clustered=clustered), None
    done = head.calibrated(
        model,
        rows,
        _others(head.samples, rows, calibration.CHECKED),
        preserve_zeros=preserve,
        clustered=clustered,
        whole=not settings.keep,
        report=partial(ctx.progress.update, "correcting for 8 bits", unit="ops"),
    )
    found = done.correction
    ctx.progress.note(
        f"8 bits without training, against float on {found.n} training examples: "
        f"divergence {found.plain.kl:.4f}, same answer {found.plain.agreement:.1%}; corrected "
        f"{found.corrected.kl:.4f}, {found.corrected.agreement:.1%}; the {found.state} state goes "
        "on"
    )
    return done.wrapped, found


def _open(layers: Mapping[str, SparseLayer | ClusteredLayer]) -> list[str]:
    """Those of the layers that pruning or clustering has changed."""
    return [name for name, layer in layers.items() if not layer.frozen]


def _others(samples: Samples, rows: list[int], count: int) -> list[int]:
    """Training examples that stand for all, not among ``rows`` as far as there are others."""
    every = samples.representative(len(rows) + count, samples.seed)
    others = [row for row in every if row not in set(rows)]
    return (others or every)[:count]


def _tried(ctx: Context, head: Head, graph: Frozen, rows: list[int]) -> Trial:
    """How the calibrated file answers training examples that it was not calibrated on, against the
    float model, through LiteRT."""
    samples = head.samples
    others = _others(samples, rows, _TRIED)
    inputs = samples.examples.inputs(others)
    asked = {"int8": True, "input_type": tf.uint8, "output_type": tf.uint8, "signature": False}
    report = partial(samples.progress.update, "trying ptq", unit="examples")
    got = predict(to_tflite(graph, **asked), inputs, progress=report)
    place = {row: at for at, row in enumerate(samples.train_rows)}
    logits = network.load_weights(ctx.inputs["finetune/teacher.npz"])["logits"]
    plain = head.objective.served(logits[[place[row] for row in others]])
    found = trial(head, primary_of(ctx), plain, got, others, "train")
    return found.model_copy(update={"recipe": PTQ.name})


def _trial_text(tried: Trial, metric: Metric) -> str:
    verdict = "8-bit training follows" if tried.significant else "nothing needs to train"
    return (
        f"auto: {metric.label} of ptq {metric.text(tried.value(metric))} on {tried.n} training "
        f"examples that it was not calibrated on, of float {metric.text(tried.before)} (p = "
        f"{tried.p:.2g}): {verdict}"
    )


def _qat(ctx: Context, head: Head, wrapped: Any) -> tuple[Rows, Trial]:
    """Quantization-aware training of the top part, above a frozen part that is int8 already.

    Returns how it went, and what it brought.
    """
    settings = ctx.pipeline.quantize
    assert settings is not None
    sparse, clustered = _open(upstream.pruned(ctx)), _open(upstream.clustered(ctx))
    samples = head.samples
    layer = head.boundary(ctx.first_trained("quantize"))
    kept, between = _keep(settings.keep, head, wrapped, layer)
    lower, upper = network.cut(wrapped, layer, quantization.PREFIX) if layer else (None, wrapped)
    frozen = quantization.state(lower) if lower is not None else {}
    before = quantization.kernels(wrapped)
    teacher = teacher_of(ctx, samples)
    below = None if lower is None else _int8_activations(head, lower, kept, between)
    gather = below(samples.items) if below else None
    noise = samples.noise(settings, below or samples.inputs_of)
    batches = samples.batches(settings, teacher.learning_targets(settings), gather, noise)
    masks = _masks(wrapped, sparse)
    items = samples.val_items()
    judge = Judge(head, primary_of(ctx), upper, below(items) if below else samples.inputs_of(items))
    pool = quantization.PREFIX + POOL
    record, stopped = recorder(ctx)("qat"), None
    try:
        history = teacher.train(upper, batches, settings, pool, "qat", masks, record=record)
    except loop.BlownUp as error:
        history, stopped = error.rows, error.problem
    masks(samples.steps(settings, batches.steps))
    trained = _verdict(ctx, judge, stopped)
    if lower is not None:
        invariants.unchanged("frozen layers through QAT", frozen, quantization.state(lower))
    invariants.zeros_kept(before, quantization.kernels(wrapped), sparse)
    invariants.clusters_kept(before, quantization.kernels(wrapped), clustered)
    quantization.unmask(wrapped)
    return history, trained


def _verdict(ctx: Context, judge: Judge, stopped: str | None) -> Trial:
    """What 8-bit training brought. The calibrated state comes back if training has lost answers by
    more than chance, or both answers and in loss, or was ``stopped`` for its loss."""
    after = judge.state()
    if stopped is None and not math.isfinite(after.score.loss):
        stopped = "the validation loss is no number"
    if stopped is not None:
        after = judge.before
    back = stopped is not None or judge.is_worse(judge.before, after)
    found = judge.trial(judge.before, after)
    if back:
        judge.put_back(judge.before)
    state = "calibrated" if back else "trained"
    found = found.model_copy(update={"state": state, "stopped": stopped})
    ctx.progress.note(str(of_8_bits(found, primary_of(ctx))))
    return found


def _keep(
    patterns: Mapping[str, Precision], head: Head, wrapped: Any, layer: str
) -> tuple[Kept, Precision]:
    """Let what is kept above 8 bits train so; which units, and the precision at ``layer``."""
    if not patterns:
        return {}, "int8"
    graph = Graph.of(head.graph(wrapped))
    kept = graph.kept(patterns)
    mixed.train_in_float(wrapped, graph, kept)
    return kept, graph.tensor_of(layer, kept)


def _int8_activations(
    head: Head, lower: Any, kept: Kept, between: Precision
) -> Callable[[Sequence[Item]], Gather]:
    """What the frozen part, as .tflite in LiteRT, gives for items: the very numbers of the device.

    ``between`` is the precision in which its result is read; 8 bits are stored as such.
    """
    int8 = between == "int8"

    @cache
    def convert() -> bytes:
        quantization.unmask(lower)  # it does not train
        part = head.part_graph(lower)
        rounded = tf.int8 if int8 else None
        return mixed.convert(part, kept, output_type=rounded, output=between, signature=False)

    more = f" {json.dumps([kept, between], sort_keys=True)}" if kept else ""
    name = digest(lower, f"int8{more}")

    def of(items: Sequence[Item]) -> Gather:
        found = compute(
            head.samples.source,
            items,
            name=name,
            shapes=shapes_of(lower.outputs),
            convert=convert,
            what="int8 activations",
            int8=int8,
        )
        return joined(found, head.samples.source.beside(items))

    return of


def _masks(wrapped: Any, sparse: list[str]) -> Callable[[int], None]:
    """For kernels that TF-MOT's masks don't reach: depthwise ones, which its prune-preserving
    scheme passes over, and those that train in float."""
    return keep_zeros(
        weight
        for layer in wrapped.layers
        if layer.name.removeprefix(quantization.PREFIX) in sparse
        for weight, quantizer, variables in layer._weight_vars
        if not (isinstance(quantizer, StraightThrough) and "sparsity_mask" in variables)
    )
