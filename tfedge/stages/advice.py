"""What the figures of an evaluation warn of, and which keys of the pipeline to change then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfedge.catalog.recipes import quantizing
from tfedge.core.outputs import Change, History, Phase, Robustness
from tfedge.pipeline.schema import Finetune
from tfedge.tasks.task import Metric

SIGNIFICANT = 0.05  # p of a loss that is not luck
POINT = 0.01  # of a share, or of a plain figure's value, that int8 may lose before a word is said
WIDE = 0.10  # training accuracy minus validation accuracy: the model learns its examples by heart
LEARNT = 0.90  # training accuracy (1 − error), below which the model is too small for its examples

_ROUNDING = 1e-9  # 0.90 - 0.89 is a little more than 0.01 in binary

# What to change when a phase loses accuracy. A recipe of quantize says so itself.
_REMEDIES = {
    "float": (
        "lower finetune.unfreeze_learning_rate, train fewer blocks (finetune.unfreeze), or set "
        "data.augment"
    ),
    "pruned": (
        "raise prune.steps or prune.epochs, lower prune.sparsity, or let it learn from the float "
        "model (prune.teacher, prune.hints)"
    ),
    "clustered": (
        "raise cluster.steps or cluster.epochs, allow more values (cluster.clusters), or let it "
        "learn from the float model (cluster.teacher, cluster.hints)"
    ),
}

Phases = Sequence[Phase]


def lost_on_the_way(phases: Phases, split: str, recipe: str, metric: Metric) -> list[str]:
    """Phases that are worse than the one before and not by chance, and an int8 model that is more
    than a point worse than float. ``recipe``: qat, ptq or float."""
    found, warned = [], set()
    value = {row.phase: row.value(metric) for row in phases}
    for row in phases:
        before, change = row.against, row.change
        if before is None or metric.lost(value[before], value[row.phase]) <= 0:
            continue
        if change is not None and is_worse(change):
            warned.add(row.phase)
            found.append(
                f"{row.phase} is worse than {before}, and not by chance: {metric.label} "
                f"{metric.text(value[row.phase])} against {metric.text(value[before])} on "
                f"the same {row.n} {split} examples (p = {change.p:.2g}): "
                f"{_remedy(row.phase, recipe)}"
            )
    last, most_lost = phases[-1], worst_phase(phases, metric)
    change = last.change_from_float or last.change
    if change is not None and below_float(value, metric) and most_lost not in warned:
        p = change.p
        most = "" if most_lost == last.phase else f"most of it was lost in {most_lost}: "
        luck = ", so it may be chance" if p >= SIGNIFICANT else ""
        lost = metric.difference(metric.lost(value["float"], value["int8"]))
        found.append(
            f"int8 is {lost} worse than float: {metric.label} {metric.text(value['int8'])} against "
            f"{metric.text(value['float'])} on the same {last.n} {split} examples (p = "
            f"{p:.2g}{luck}): {most}{_remedy(most_lost, recipe)}"
        )
    return found


def point(metric: Metric, value: float) -> float:
    """How much a model of that value may lose before a word is said: a point, or a hundredth of a
    plain figure, whose unit is not known."""
    return POINT if metric.share else POINT * abs(value)


def below_float(value: Mapping[str, float], metric: Metric, limit: float | None = None) -> bool:
    """Whether int8 is worse than float by more than ``limit``, or a point; False where either is
    missing."""
    if "int8" not in value or "float" not in value:
        return False
    limit = point(metric, value["float"]) if limit is None else limit
    return metric.lost(value["float"], value["int8"]) > limit + _ROUNDING


def below_before(phases: Phases, metric: Metric, limit: float) -> bool:
    """Whether the last phase is worse than the one before it by more than ``limit``."""
    *_, before, last = phases
    return metric.lost(before.value(metric), last.value(metric)) > limit + _ROUNDING


def is_worse(change: Change) -> bool:
    """Whether a change is a loss that is not chance."""
    return change.lost > change.gained and change.p < SIGNIFICANT


def worst_phase(phases: Phases, metric: Metric) -> str:
    """The phase behind float that lost most against the one before it."""
    value = {row.phase: row.value(metric) for row in phases}
    losses = {
        row.phase: metric.lost(value[row.against], value[row.phase])
        for row in phases
        if row.against is not None and row.phase != "float"
    }
    return max(losses, key=losses.__getitem__, default=phases[-1].phase)


def _remedy(phase: str, recipe: str) -> str:
    return quantizing(recipe).instead if phase == "int8" else _REMEDIES[phase]


def lost_robustness(robustness: Robustness, shipped: str, metric: Metric) -> list[str]:
    """Corruptions under which the shipped file loses significantly more than float."""
    models = robustness.models
    return [
        f"on examples with {name} {shipped} is {metric.difference(-change.gap)} worse than "
        f"float: {metric.label} {metric.text(models[shipped][name])} against "
        f"{metric.text(models['float'][name])} on the same {robustness.n} examples "
        f"(p = {change.p:.2g}): data.augment.{name} trains every phase on such examples"
        for name, change in (robustness.against_float or {}).items()
        if name != "none" and change.gap < 0 and is_worse(change)
    ]


def proposals(
    history: History,
    finetune: Finetune,
    changes_examples: bool,
    metric: Metric,
    can_change: bool = True,
    can_train: bool = True,
    can_fit: bool = True,
) -> list[str]:
    """What to try, by how well the float model knows its training examples and others.
    ``can_change``: examples of this task can be changed at random (``data.augment``);
    ``can_train``: more than the head of this net can train; ``can_fit``: its heads can be fitted
    (``finetune.head``).

    Nothing for a metric that is no share: there is no saying what is much.
    """
    if not metric.share:
        return []
    found = []
    known, others = history.train.value(metric), history.val.value(metric)
    learnt = f"{metric.label} {metric.text(known)} of {history.train.n} training examples"
    frozen = finetune.unfreeze == "none"
    gap = metric.lost(known, others)
    if gap > WIDE + _ROUNDING:
        ways = ["make data.augment stronger" if changes_examples else "set data.augment"]
        ways = ways if can_change else ["collect more of them"]
        ways += ["finetune.unfreeze: 0.25"] if frozen and can_train else []
        found.append(
            f"the float model knows its training examples much better than others: {learnt}, "
            f"{metric.text(others)} of {history.val.n} validation examples, a gap of "
            f"{metric.difference(gap)}: {', and '.join(ways)}"
        )
    if metric.lost(float(metric.higher), known) > 1 - LEARNT + _ROUNDING:
        ways = ["finetune.unfreeze: 0.25" if frozen else "raise finetune.unfreeze_epochs"]
        ways = ways if can_train else ["take another backbone"]
        ways += ["finetune.head: logistic"] if finetune.head == "sgd" and can_fit else []
        found.append(
            f"the float model does not even learn its training examples: {learnt}: "
            f"{', or '.join(ways)}"
        )
    return found
