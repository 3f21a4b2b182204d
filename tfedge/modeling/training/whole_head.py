"""Transfer learning with a head that is more than a dense layer: all above the base's last block.

It trains on what the frozen base gives, which is computed once; then, if asked, the base's top
blocks train with it. Nothing is chosen by the validation examples: the last state stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.catalog.backbones import Block
from tfedge.core.outputs import History, Side
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import keras
from tfedge.modeling.training import loop
from tfedge.modeling.training.folding import folded_norms
from tfedge.modeling.training.part import Samples, TopPart, predictor
from tfedge.modeling.training.rows import Rows
from tfedge.pipeline.schema import Transfer
from tfedge.tasks.task import Metric


@dataclass(frozen=True)
class Learned:
    """How it went, and what the model says of the training examples as they are, [n, …]."""

    history: History
    outputs: np.ndarray

    def said(self, model: Any, count: int, path: Path) -> dict[str, np.ndarray]:
        """For teacher.npz: the outputs alone."""
        return {"logits": self.outputs.astype(np.float16)}


def learn(
    samples: Samples,
    blocks: Sequence[Block],
    model: Any,
    settings: Transfer,
    *,
    random: bool,
    first: int | None,
    metric: Metric,
    record: Callable[[str], loop.Record | None],
    headed: Callable[[Any], None],
) -> Learned:
    """Train the head, then those of ``blocks`` from ``first`` up with it (None: the head alone).

    Batch norm learns in the head, and in the blocks of a ``random`` base, and of no other.
    """
    hard = samples.objective.targets(samples.items, settings)
    base = {layer for block in blocks for layer in _below(model, block.output)}
    part = TopPart(samples, model, network.boundary(blocks, None))
    rate = settings.epochs, settings.learning_rate
    rows = _train(samples, part, hard, settings, rate, "head", record("head"), set())
    course: loop.Rows | None = None
    if first is not None:
        headed(model)
        part = TopPart(samples, model, network.boundary(blocks, first))
        rate = settings.unfreeze_epochs, settings.unfreeze_learning_rate
        held = set() if random else base
        course = _train(samples, part, hard, settings, rate, "blocks", record("blocks"), held)

    def said(rows: Sequence[int]) -> np.ndarray:
        gather = part.inputs([(row, 0) for row in rows], "activations")
        return predictor(part.model, gather, len(rows))()

    def side(outputs: np.ndarray, rows: Sequence[int]) -> Side:
        found = samples.objective.score(outputs, rows)
        return Side(loss=found.loss, n=len(rows), **metric.named(found.primary))

    known = said(samples.train_rows)
    history = History(
        head_kind="sgd",
        chose_weights_on=None,
        head=rows,
        blocks=course,
        train=side(known, samples.train_rows),
        val=side(said(samples.val_rows), samples.val_rows),
    )
    return Learned(history, known)


def _below(model: Any, layer: str) -> set[str]:
    """All layers that a layer's result is made of, by name."""
    found, waiting = set[str](), [model.get_layer(layer)]
    while waiting:
        one = waiting.pop()
        if one.name not in found:
            found.add(one.name)
            waiting += network.sources(one)
    return found


def _train(
    samples: Samples,
    part: TopPart,
    hard: Rows,
    settings: Transfer,
    rate: tuple[int, float],
    what: str,
    record: loop.Record | None,
    held: set[str],
) -> loop.Rows:
    """Train a part for ``rate`` (epochs, learning rate). Batch norms among ``held`` layers stay on
    their stored statistics."""
    for layer in part.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = layer.name not in held
            layer.momentum = network.QUICK
    gather = part.training_inputs("activations")
    batches = samples.batches(settings, loop.LearningTargets(hard), gather)
    with folded_norms(part.model):
        return loop.train(
            part.model,
            batches,
            settings,
            steps=rate[0] * batches.steps,
            learning_rate=rate[1],
            what=what,
            progress=samples.progress,
            loss=samples.objective.loss(),
            record=record,
        ).rows
