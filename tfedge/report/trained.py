"""What training brought, in words: said by the stage, and again where nobody has heard it there."""

from __future__ import annotations

from dataclasses import dataclass

from tfedge.core.outputs import History, Trial
from tfedge.core.progress import WARNING
from tfedge.tasks.task import Metric

_DOING = {"prune": "pruning", "cluster": "clustering"}


@dataclass(frozen=True)
class Said:
    """``warning``: training has made the model worse, or did not come to its end."""

    text: str
    warning: bool

    def __str__(self) -> str:
        return f"{WARNING}{self.text}" if self.warning else self.text


def of_float(history: History, metric: Metric) -> Said:
    """How good the float model is, and which state of it that is."""
    val = f"{metric.text(history.val.value(metric))} on {history.val.n} validation examples"
    train = f"{metric.text(history.train.value(metric))} on the training examples"
    failed = (history.best_epoch == 0 and bool(history.blocks)) or history.stopped is not None
    rate = "unfreeze_learning_rate" if history.blocks is not None else "learning_rate"
    way = f"; lower finetune.{rate}" if failed else ""
    return Said(f"float model: {chosen_state(history)}; {metric.label} {val}, {train}{way}", failed)


def chosen_state(history: History) -> str:
    """Which state of a float model stayed, and why."""
    if history.chose_weights_on is None and history.head_kind == "sgd":
        return history.stopped or "it has trained to its end"
    if history.chose_weights_on is None:
        return f"the head has converged (C = {history.C:.2g})"
    stopped = "" if history.stopped is None else f"training was stopped because {history.stopped}: "
    if history.best_epoch:
        return f"{stopped}epoch {history.best_epoch} is best on the validation examples"
    if history.blocks is None:
        return f"{stopped}the head of the earlier run is best on the validation examples"
    worse = f"training the blocks made it worse on the validation examples{_by(history)}"
    return f"{stopped}{worse}: the model from before, with its new head alone, is kept"


def _by(history: History) -> str:
    """The losses of the state before the blocks trained and of their best epoch."""
    before, *epochs = [row["val_loss"] for row in history.blocks or () if "val_loss" in row]
    return f" (loss {before:.4g} before, {min(epochs):.4g} at best)" if epochs else ""


def of_retraining(stage: str, found: Trial, metric: Metric) -> Said:
    """What pruning or clustering cost; a warning where it is more than chance."""
    told = f"{_DOING[stage]}: on the validation examples {_both(found, metric)}"
    if found.stopped is not None:
        told += f"; {found.stopped}: training was stopped"
    if found.state == "earlier":
        told += f"; the state of epoch {found.epoch} goes on"
    if not (found.significant or found.stopped is not None):
        return Said(told, False)
    return Said(f"{told}; lower {stage}.learning_rate, or raise {stage}.steps", True)


def of_8_bits(lost: Trial, metric: Metric) -> Said:
    """What training in 8 bits brought. ``lost`` holds the trained state against the calibrated one,
    whichever of them was kept."""
    figures, among = _both(lost, metric), "on the validation examples"
    if lost.state != "calibrated":
        return Said(f"8-bit training: {among} {figures}", False)
    lost_some = f"lost answers {among}: {figures}"
    why = f"was stopped because {lost.stopped}" if lost.stopped else lost_some
    kept = "the state before it is kept; lower quantize.learning_rate"
    return Said(f"8-bit training {why}: {kept}", True)


def _both(found: Trial, metric: Metric) -> str:
    """Both figures, and how much they say."""
    before, after = map(metric.text, (found.before, found.value(metric)))
    return f"{metric.label} {before} before, {after} after (n = {found.n}, p = {found.p:.2g})"
