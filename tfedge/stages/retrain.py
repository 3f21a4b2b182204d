"""What ``prune`` and ``cluster`` share: kernels changed by wrappers of TF-MOT while the part that
trains learns once more, and everything below it stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfedge.core.context import Context
from tfedge.core.outputs import Epochs, Output, Trial, write
from tfedge.errors import StageError
from tfedge.modeling import invariants
from tfedge.modeling.nets import network
from tfedge.modeling.nets.backbone import Weights, weights_of
from tfedge.modeling.nets.env import fresh
from tfedge.modeling.nets.network import POOL
from tfedge.modeling.training import loop
from tfedge.modeling.training.part import TopPart
from tfedge.pipeline.unfreeze import prunable
from tfedge.report.trained import of_retraining
from tfedge.stages.examples import primary_of
from tfedge.stages.heads import head_of, teacher_of
from tfedge.stages.judge import Judge, Recovery
from tfedge.stages.training_log import recorder


class Retraining:
    """A network, loaded, and the part of it that trains.

    ``before`` holds every kernel by layer; ``chosen`` are the layers that the stage's section
    chooses, bottom up, the head last, and their kinds; ``trained`` those of the part that trains.
    """

    def __init__(self, ctx: Context, stage: Literal["prune", "cluster"], weights: Path) -> None:
        fresh(ctx.pipeline.seed)
        self._ctx, self._stage = ctx, stage
        self._settings = getattr(ctx.pipeline, stage)
        self._head = head_of(ctx)
        self._samples = self._head.samples
        self._before = network.load_weights(weights)
        self.before = _kernels(self._before)
        self._model = self._head.load(self._before)
        first = ctx.first_trained(stage)
        kernels = prunable(self._settings, self._head.blocks)
        self.chosen = {kernel.layer: kernel.kind for kernel in kernels}
        if "head" in self._settings.also and not self._settings.layers:
            self.chosen |= self._head.kernels
        open_blocks = self._head.blocks[first:] if first is not None else ()
        opened = {kernel.layer for block in open_blocks for kernel in block.kernels}
        self.trained = opened | set(self._head.kernels)
        self._boundary = self._head.boundary(first)

    def cut(self) -> Any:
        """The part that trains, batch norm on its stored statistics; ``steps`` are known now."""
        self._top = TopPart(self._samples, self._model, self._boundary)
        network.inference_norm(self._model)
        self._teacher = teacher_of(self._ctx, self._samples)
        gather = self._top.training_inputs("activations")
        learning_targets = self._teacher.learning_targets(self._settings)
        noise = self._samples.noise(
            self._settings, partial(self._top.inputs, what="activations with noise")
        )
        self._batches = self._samples.batches(self._settings, learning_targets, gather, noise)
        return self._top.model

    def examples(self, count: int) -> np.ndarray:
        """What the part is fed with for ``count`` training examples that stand for all."""
        rows = self._samples.representative(count, self._ctx.pipeline.seed)
        gather = self._top.inputs([(row, 0) for row in rows], "activations")
        return gather(np.arange(len(rows)))

    @property
    def steps(self) -> int:
        return self._samples.steps(self._settings, self._batches.steps)

    def train(
        self,
        wrapped: Any,
        before_step: Callable[[int], None] | None = None,
        whole_from: int = 0,
    ) -> Trial:
        """Train a wrapped copy of the part that shares its layers, which is as asked for once
        ``whole_from`` steps are done; see ``Recovery``. What it brought, against its state before.

        Raises StageError where its loss blows up before there is anything that is as asked for.
        """
        samples, ctx = self._samples, self._ctx
        gather = self._top.inputs(samples.val_items(), "validation activations")
        judge = Judge(self._head, primary_of(ctx), wrapped, gather)
        recovery = Recovery(judge, min(whole_from, self.steps), self._batches.steps)
        stopped: loop.BlownUp | None = None
        try:
            self._history: loop.Rows = self._teacher.train(
                wrapped,
                self._batches,
                self._settings,
                POOL,
                self._stage,
                before_step,
                recovery.watch,
                recorder(ctx)(self._stage),
            )
        except loop.BlownUp as error:
            self._history, stopped = error.rows, error
        found = recovery.end(stopped.problem if stopped else None)
        if found is None:
            what = stopped.message if stopped else f"{self._stage}: its answers are no numbers"
            raise StageError(what, f"lower {self._stage}.learning_rate") from stopped
        ctx.progress.note(str(of_retraining(self._stage, found, primary_of(ctx))))
        return found

    def finish(self) -> Weights:
        """Every kernel as it is now, by layer. Raises InvariantBroken if anything frozen moved."""
        self._after = weights_of(self._model)
        lower = self._top.lower
        frozen = {layer.name for layer in lower.layers} if lower is not None else set()
        invariants.unchanged(
            f"frozen layers through {self._stage}",
            {k: v for k, v in self._before.items() if k.split("/")[0] in frozen},
            self._after,
        )
        return _kernels(self._after)

    def save(self, name: str, found: Output) -> None:
        """``model.npz``, ``float.tflite``, what was found under its name, ``history.json``."""
        network.save_weights(self._ctx.out / "model.npz", self._head.weights_of(self._model))
        plain = self._head.float_file(self._model)
        (self._ctx.out / "float.tflite").write_bytes(plain)
        write(self._ctx.out / name, found)
        write(self._ctx.out / "history.json", Epochs(self._history))


def _kernels(weights: Weights) -> Weights:
    names = {key: key.split("/") for key in weights}
    kinds = ("kernel", "depthwise_kernel")
    return {layer: weights[key] for key, (layer, kind) in names.items() if kind in kinds}
