"""A part that trains, held against its state before on the validation examples.

Training is there to make a model better. Where it did the opposite the state before goes on, or,
where that is not what was asked for (a model without zeros, say), the best one that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfedge.core.outputs import Trial
from tfedge.modeling.nets.env import keras
from tfedge.modeling.training.loop import Gather
from tfedge.modeling.training.objective import Score
from tfedge.modeling.training.part import predictor
from tfedge.stages.advice import is_worse
from tfedge.stages.heads import Head
from tfedge.tasks.paired import compared
from tfedge.tasks.task import Metric


def trial(
    head: Head,
    metric: Metric,
    before: np.ndarray,
    after: np.ndarray,
    rows: list[int],
    split: str,
) -> Trial:
    """Two models' outputs, as served, for the same examples, by McNemar's test."""
    work, targets = head.work, head.samples.examples.targets(rows)
    change = compared(work.quality(before, targets), work.quality(after, targets))
    return Trial(
        split=split,
        n=len(rows),
        before=work.primary(before, targets),
        agreement=float(work.same(before, after).mean()),
        significant=is_worse(change),
        **dict(change),
        **metric.named(work.primary(after, targets)),
    )


@dataclass(frozen=True)
class State:
    """Weights, and what they say of the validation examples, before ``serve``."""

    weights: list[np.ndarray]
    outputs: np.ndarray
    score: Score


class Judge:
    """Looks at a part that trains, and leaves it as it is unless told to ``put_back``."""

    def __init__(self, head: Head, metric: Metric, part: Any, gather: Gather) -> None:
        """``gather`` gives what the part reads for validation examples, by position."""
        self._head, self._metric, self._part = head, metric, part
        self._rows = head.samples.val_rows
        self._say = predictor(part, gather, len(self._rows))
        self.before = self.state()

    def state(self) -> State:
        """The part as it is now. Wrappers that change weights when they are called (masks of
        pruning) have not done so afterwards: else training would go on otherwise."""
        weights = [variable.numpy() for variable in self._part.weights]
        outputs = self._say()
        found = State(weights, outputs, self._head.objective.score(outputs, self._rows))
        self.put_back(found)
        return found

    def put_back(self, state: State) -> None:
        """Let the part be as it was."""
        pairs = zip(self._part.weights, state.weights, strict=True)
        keras.backend.batch_set_value(list(pairs))

    def figures(self, state: State) -> dict[str, float]:
        """For a row of training's history."""
        loss, primary = state.score
        return {"val_loss": loss, f"val_{self._head.objective.figure}": primary}

    def trial(self, before: State, after: State) -> Trial:
        """Two states, by McNemar's test."""
        served = self._head.objective.served
        both = served(before.outputs), served(after.outputs)
        return trial(self._head, self._metric, *both, self._rows, "val")

    def is_worse(self, before: State, after: State) -> bool:
        """Whether a state has lost answers by more than chance, or both answers and in loss."""
        found = self.trial(before, after)
        lost = self._metric.lost(found.before, found.value(self._metric))
        return found.significant or (lost > 0 and after.score.loss > before.score.loss)


class Recovery:
    """Training that recovers from what a stage has taken: of a part that is not as asked for until
    ``whole_from`` steps are done (all zeros are there, say).

    Its last state stays, unless an earlier whole one is better by more than chance.
    """

    def __init__(self, judge: Judge, whole_from: int, steps_an_epoch: int) -> None:
        self._judge, self._whole_from = judge, whole_from
        self._epoch_steps = steps_an_epoch
        self._best: tuple[int, State] | None = None
        self._last: State | None = None

    def watch(self, done: int) -> dict[str, float]:
        """After an epoch, ``done`` steps in all; its figures once the part is as asked for."""
        if done < self._whole_from:
            return {}
        self._last = None
        found = self._judge.state()
        if not math.isfinite(found.score.loss):
            return {}
        self._last = found
        if self._best is None or self._last.score.loss < self._best[1].score.loss:
            self._best = -(-done // self._epoch_steps), self._last
        return self._judge.figures(self._last)

    def end(self, stopped: str | None = None) -> Trial | None:
        """Put the state that goes on into the part. ``stopped``: why it did not train to its end.

        None when there is none that is as asked for.
        """
        if self._best is None:
            return None
        epoch, chosen = self._best
        last = None if stopped is not None else self._last
        earlier = last is None or self._judge.trial(chosen, last).significant
        if last is not None and not earlier:
            chosen = last
        self._judge.put_back(chosen)
        found = self._judge.trial(self._judge.before, chosen)
        state = "earlier" if earlier else "trained"
        more = {"state": state, "epoch": epoch if earlier else None, "stopped": stopped}
        return found.model_copy(update=more)
