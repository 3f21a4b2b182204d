"""Training the top part of a network on what its frozen part says of the examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from tfedge.files.progress import Progress
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.export import float_part
from tfedge.modeling.nets.network import cut, output_inside
from tfedge.modeling.nets.ports import run, shapes_of
from tfedge.modeling.training import loop
from tfedge.modeling.training.features import (
    NOISY,
    Activations,
    Item,
    Source,
    compute,
    digest,
    joined,
)
from tfedge.modeling.training.folding import folded_norms
from tfedge.modeling.training.loop import Gather, Noise
from tfedge.modeling.training.objective import Objective
from tfedge.pipeline import recipes
from tfedge.pipeline.schema import Retrain, Training
from tfedge.tasks.task import Examples

_EVAL_BATCH = 64


@dataclass(frozen=True)
class Samples:
    """The examples that something is learnt from and looked at, and what is learnt.

    *Items* are training examples and their changed views: item ``view * n + i`` is that view of
    training example ``i``; view 0 is the example itself.
    """

    source: Source
    examples: Examples
    objective: Objective

    @property
    def seed(self) -> int:
        return self.source.seed

    @property
    def progress(self) -> Progress:
        return self.source.progress

    @cached_property
    def train_rows(self) -> list[int]:
        return self.examples.rows_of("train")

    @property
    def views(self) -> int:
        return self.source.views

    @cached_property
    def items(self) -> list[Item]:
        return [(row, view) for view in range(self.views + 1) for row in self.train_rows]

    @cached_property
    def item_rows(self) -> list[int]:
        """The row of each item."""
        return self.train_rows * (self.views + 1)

    @cached_property
    def val_rows(self) -> list[int]:
        return self.examples.rows_of("val")

    def val_items(self) -> list[Item]:
        return [(row, 0) for row in self.val_rows]

    def inputs_of(self, items: Sequence[Item]) -> Gather:
        """The network's float32 inputs [n, …] of items, by position."""
        return lambda at: np.stack([*self.source.inputs([items[i] for i in at])]).astype(np.float32)

    def choose(self, rng: np.random.Generator) -> np.ndarray:
        """For one epoch, an item of each training example: itself or one of its views."""
        count = len(self.train_rows)
        return rng.integers(0, self.views + 1, count) * count + np.arange(count)

    def representative(self, count: int, seed: int, split: str = "train") -> list[int]:
        """Rows of a split that stand for all of it."""
        return self.examples.representative(count, seed, split)

    def steps(self, settings: Retrain, epoch: int) -> int:
        """How many steps a stage trains on these examples, at ``epoch`` steps an epoch."""
        return recipes.steps(settings, len(self.train_rows), epoch)

    def noise(self, settings: Retrain, inputs: Callable[[Sequence[Item]], Gather]) -> Noise | None:
        """The training examples that a stage shows with noise; ``inputs`` gives what its part is
        fed with for items."""
        if not settings.noise:
            return None
        rows = self.representative(recipes.NOISY, self.seed)
        position = {row: at for at, row in enumerate(rows)}
        places = np.asarray([position.get(row, -1) for row in self.train_rows])
        gather = inputs([(row, NOISY) for row in rows])
        return Noise(gather, places, settings.noise, self.seed)

    def batches(
        self,
        settings: Training,
        learning_targets: loop.LearningTargets,
        gather: Gather | None,
        noise: Noise | None = None,
    ) -> loop.Batches:
        """Training batches of what ``gather`` gives for items; None: of inputs, changed anew."""
        weights = self.objective.weights(self.item_rows, settings)
        size = settings.batch_size
        if gather is not None:
            seed = self.seed
            of_views = self.objective.of_views
            return loop.Memory(
                gather, self.choose, learning_targets, weights, size, seed, noise, of_views
            )
        return self.source.stream(self.train_rows, learning_targets, weights, size, noise)


class TopPart:
    """The part of a network above a boundary, and the float activations that it trains on.

    Without a boundary (``layer`` "") it is the whole network, fed with the examples themselves.
    """

    def __init__(self, samples: Samples, model: Any, layer: str) -> None:
        self._samples, self._whole, self._layer = samples, model, layer
        self.lower: Any = None
        self.model: Any = model
        if layer:
            self.lower, self.model = cut(model, layer)

    @cached_property
    def _digest(self) -> str:
        return digest(self.lower, "pixels")

    def activations(self, items: Sequence[Item], what: str) -> Activations:
        """The boundary's float activations for items, from the store or through LiteRT."""
        return compute(
            self._samples.source,
            items,
            name=self._digest,
            shapes=shapes_of(self.lower.outputs),
            convert=lambda: self._converted,
            what=what,
        )

    @cached_property
    def _converted(self) -> bytes:
        """The part below as .tflite. It is frozen, so that one serves everybody who asks."""
        return self._samples.source.converted(self.lower)

    def features(self, items: Sequence[Item], layer: str, what: str) -> Activations:
        """What ``layer``, above the boundary, says of items; from the boundary's activations."""
        part = keras.Model(self.model.input, output_inside(self.model, layer))
        of = partial(
            compute, self._samples.source, items, shapes=shapes_of(part.outputs), what=what
        )
        if self.lower is None:
            convert = self._samples.source.converted
            return of(name=digest(part, "pixels"), convert=lambda: convert(part))
        below = self.inputs(items, f"{what}: frozen part")
        return of(
            name=digest(part, self._digest),
            convert=lambda: float_part(part),
            inputs=lambda positions: below(np.asarray(positions)),
        )

    def inputs(self, items: Sequence[Item], what: str) -> Gather:
        """What the part is fed with for items, by position: float32 [n, …]."""
        if self.lower is not None:
            beside = self._samples.source.beside(items)
            return joined(self.activations(items, what), beside)
        return self._samples.inputs_of(items)

    def training_inputs(self, what: str) -> Gather | None:
        """The same of all items; None for the whole network, which is fed with examples."""
        return self.inputs(self._samples.items, what) if self.lower is not None else None


class Teacher:
    """What is said of every training item, and learning from it.

    The float model gives features, and logits too unless the pipeline has a ``distill`` section:
    then the logits are those of its teacher, whatever net that is. A float model is all that can
    give features: another backbone's are of another width. How much the logits count, each stage's
    settings say.
    """

    def __init__(
        self,
        samples: Samples,
        said: Mapping[str, np.ndarray],
        features: np.ndarray | None,
        logits: np.ndarray | None = None,
        temperature: float | None = None,
    ) -> None:
        """``said`` is what the float model says of each item, its ``logits``; of a head that has
        such, ``features`` [items, F] at a mean square of 1, and in ``said`` their own, ``power``.
        ``logits`` [items, units] are what the teacher of a ``distill`` section says, and
        ``temperature`` the section's."""
        self._samples, self._temperature = samples, temperature
        self._features, self._scale = features, float(said.get("power", 1)) ** -0.5
        self._logits = said["logits"] if logits is None else logits

    def learning_targets(self, settings: Retrain) -> loop.LearningTargets:
        """The targets and the teacher's outputs (mixed, or each on its own at a temperature), and
        the float model's features if they serve as hints."""
        objective = self._samples.objective
        hard = objective.targets(self._samples.items, settings)
        hints = self._features if settings.hints else None
        if self._temperature is not None:
            return loop.LearningTargets(
                hard, hints, objective.taught(self._logits, self._temperature)
            )
        if settings.teacher:
            every = np.arange(len(hard))
            hard = objective.softened(hard[every], self._logits, settings.teacher)
        return loop.LearningTargets(hard, hints)

    def train(
        self,
        model: Any,
        batches: loop.Batches,
        settings: Retrain,
        pool: str,
        what: str,
        before_step: Callable[[int], None] | None,
        watch: Callable[[int], Mapping[str, float]] | None = None,
        record: loop.Record | None = None,
    ) -> loop.Rows:
        """Train a part whose layer ``pool`` gives the features before the head; see ``loop.train``.
        Raises BlownUp."""
        objective = self._samples.objective
        loss = objective.loss()
        if self._temperature is not None:
            loss = objective.distilled(settings.teacher, self._temperature)
        if settings.hints:
            model = keras.Model(model.input, [output_inside(model, pool), model.output])
            loss = loop.hinted(settings.hints, self._scale, loss)
        with folded_norms(model):
            return loop.train(
                model,
                batches,
                settings,
                steps=self._samples.steps(settings, batches.steps),
                learning_rate=settings.learning_rate,
                what=what,
                progress=self._samples.progress,
                loss=loss,
                before_step=before_step,
                watch=watch,
                record=record,
                side_by_side=not settings.hints,
            ).rows


def predictor(model: Any, gather: Gather, count: int) -> Callable[[], np.ndarray]:
    """The model's outputs [count, …] for what ``gather`` gives at 0 … count − 1, as it is now."""
    say = tf.function(
        lambda x: run(model, x, training=False), autograph=False, reduce_retracing=True
    )
    chunks = [np.arange(i, min(i + _EVAL_BATCH, count)) for i in range(0, count, _EVAL_BATCH)]
    return lambda: np.concatenate([say(tf.constant(gather(at))).numpy() for at in chunks])
