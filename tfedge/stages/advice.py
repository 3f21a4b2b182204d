"""What the figures of an evaluation warn of, and which keys of the pipeline to change then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfedge.data.schema import Augment
from tfedge.pipeline.schema import Finetune

SIGNIFICANT = 0.05  # p of a loss that is not luck
POINT = 0.01  # of accuracy, that int8 may lose before anything is said
WIDE = 0.10  # training accuracy minus validation accuracy: the model learns its images by heart
LEARNT = 0.90  # training accuracy below which the model is too small for its images

_ROUNDING = 1e-9  # 0.90 - 0.89 is a little more than 0.01 in binary

# What to change when a phase, or a recipe of quantize, loses accuracy.
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
    "qat": (
        "raise quantize.steps, or keep the layers that suffer most (quantize.debug: true names "
        "them, quantize.keep keeps them)"
    ),
    "ptq": "quantize.recipe: qat trains with the rounding of 8 bits",
}

Phases = Sequence[Mapping[str, Any]]


def lost_on_the_way(phases: Phases, split: str, recipe: str) -> list[str]:
    """Phases that are worse than the one before and not by chance, and an int8 model that is more
    than a point below float. ``phases`` as in metrics.json; ``recipe``: qat, ptq or float."""
    found, warned = [], set()
    top1 = {row["phase"]: row["top1"] for row in phases}
    for row in phases:
        if row["against"] is not None and is_worse(row):
            warned.add(row["phase"])
            found.append(
                f"{row['phase']} is worse than {row['against']}, and not by chance: top-1 "
                f"{row['top1']:.1%} against {top1[row['against']]:.1%} on the same {row['n']} "
                f"{split} images (p = {row['p']:.2g}): {_remedy(row['phase'], recipe)}"
            )
    last, most_lost = phases[-1], blamed(phases)
    if below_float(top1) and most_lost not in warned:
        p = last.get("p_float", last["p"])
        most = "" if most_lost == last["phase"] else f"most of it was lost in {most_lost}: "
        luck = ", so it may be chance" if p >= SIGNIFICANT else ""
        found.append(
            f"int8 is {100 * (top1['float'] - top1['int8']):.1f} points below float: top-1 "
            f"{top1['int8']:.1%} against {top1['float']:.1%} on the same {last['n']} {split} "
            f"images (p = {p:.2g}{luck}): {most}{_remedy(most_lost, recipe)}"
        )
    return found


def below_float(top1: Mapping[str, float], limit: float = POINT) -> bool:
    """Whether int8 is more than ``limit`` below float; False where either is missing."""
    if "int8" not in top1 or "float" not in top1:
        return False
    return top1["float"] - top1["int8"] > limit + _ROUNDING


def below_before(phases: Phases, limit: float = POINT) -> bool:
    """Whether the last phase is more than ``limit`` below the one before it."""
    *_, before, last = phases
    return bool(before["top1"] - last["top1"] > limit + _ROUNDING)


def is_worse(change: Mapping[str, Any]) -> bool:
    """Whether a change, as ``metrics.compared`` gives it, is a loss that is not chance."""
    return bool(change["lost"] > change["gained"] and change["p"] < SIGNIFICANT)


def blamed(phases: Phases) -> str:
    """The phase behind float that lost most against the one before it."""
    top1 = {row["phase"]: row["top1"] for row in phases}
    later = [row for row in phases if row["against"] is not None and row["phase"] != "float"]
    worst = min(later, key=lambda row: row["top1"] - top1[row["against"]], default=phases[-1])
    return str(worst["phase"])


def _remedy(phase: str, recipe: str) -> str:
    return _REMEDIES[recipe if phase == "int8" else phase]


def lost_robustness(robustness: Mapping[str, Any], shipped: str) -> list[str]:
    """Corruptions under which the shipped file loses significantly more than float."""
    return [
        f"on images with {name} {shipped} is {-100 * change['gap']:.1f} points below float: top-1 "
        f"{robustness['models'][shipped][name]:.1%} against "
        f"{robustness['models']['float'][name]:.1%} on the same {robustness['n']} images "
        f"(p = {change['p']:.2g}): data.augment.{name} trains every phase on such images"
        for name, change in robustness.get("against_float", {}).items()
        if name != "none" and is_worse(change)
    ]


def proposals(history: Mapping[str, Any], finetune: Finetune, augment: Augment | None) -> list[str]:
    """What to try, by how well the float model knows its training images and others.

    ``history`` is finetune/history.json; without ``train`` and ``val`` in it there is nothing.
    """
    train, val = history.get("train"), history.get("val")
    if not train or not val:
        return []
    found = []
    learnt = f"top-1 {train['top1']:.1%} of {train['n']} training images"
    frozen = finetune.unfreeze == "none"
    gap = train["top1"] - val["top1"]
    if gap > WIDE + _ROUNDING:
        ways = ["set data.augment" if augment is None else "make data.augment stronger"]
        ways += ["finetune.unfreeze: 0.25"] if frozen else []
        found.append(
            f"the float model knows its training images much better than others: {learnt}, "
            f"{val['top1']:.1%} of {val['n']} validation images, a gap of {100 * gap:.1f} points: "
            f"{', and '.join(ways)}"
        )
    if train["top1"] < LEARNT - _ROUNDING:
        ways = ["finetune.unfreeze: 0.25" if frozen else "raise finetune.unfreeze_epochs"]
        ways += ["finetune.head: logistic"] if finetune.head == "sgd" else []
        found.append(
            f"the float model does not even learn its training images: {learnt}: "
            f"{', or '.join(ways)}"
        )
    return found
