"""Which examples of a classifier become golden pairs, by what the model says of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from tfedge.portable.golden import TOLERANCE
from tfedge.tasks.drop import Asked, Chosen, Tried

SURE = 2 * TOLERANCE  # each of two scores may move by the tolerance: then they keep their order
_USUAL = 0.75  # a margin that still shows when a machine computes otherwise: 1.0 is saturated
_TRIES = 2  # examples asked of other kernels at once, for each one that is wanted


def choose(numbers: Sequence[int], count: int) -> list[int]:
    """Positions of up to ``count`` examples, given the numbers of their classes: the first of each
    class, then the second …"""
    seen: dict[int, int] = {}
    turns = []
    for position, number in enumerate(numbers):
        turns.append((seen.get(number, 0), number, position))
        seen[number] = seen.get(number, 0) + 1
    return [position for _, _, position in sorted(turns)[:count]]


def margins(scores: np.ndarray) -> np.ndarray:
    """[N], by how much the best score of each row is above the second; 0 where there is one."""
    if scores.shape[1] < 2:
        return np.zeros(len(scores))
    ordered = np.sort(scores, axis=1)
    lead: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return lead


def by_class(scores: np.ndarray) -> list[int]:
    """Positions: one of each class that is answered, then another of each …, of each class those
    first whose margin is a usual one."""
    usual = np.argsort(abs(margins(scores) - _USUAL), kind="stable")
    answers = scores.argmax(axis=1)[usual].tolist()
    return [int(usual[position]) for position in choose(answers, len(answers))]


class Steady:
    """Which of many examples have an answer that does not hang on the kernels that compute it. Each
    is asked once, and no more of them than it takes. ``example`` gives the one at a position."""

    def __init__(self, asked: Asked, example: Callable[[int], np.ndarray]) -> None:
        self.example = example
        self._asked = asked
        self._known: dict[int, bool] = {}

    def first(self, order: Sequence[int], count: int) -> list[int]:
        """The first ``count`` of an order that are steady, or all there are."""
        found: list[int] = []
        step = max(1, _TRIES * count)
        for begin in range(0, len(order), step):
            some = order[begin : begin + step]
            new = [one for one in some if one not in self._known]
            if new:
                fine = self._asked.steady(np.stack([self.example(one) for one in new]))
                self._known |= dict(zip(new, map(bool, fine), strict=True))
            found += [one for one in some if self._known[one]]
            if len(found) >= count:
                break
        return found[:count]

    @property
    def tried(self) -> Tried:
        """How many were asked, and how many are steady."""
        return Tried(len(self._known), sum(self._known.values()))


def chosen(
    steady: Steady,
    scores: np.ndarray,
    classes: Sequence[str],
    count: int,
    what: str,
    between: Collection[int] = (),
) -> Chosen:
    """Half of them where two classes meet, as far as there are such, those first that were made to
    lie ``between`` two; of both kinds, one of each class first. Those whose answer hangs on the
    kernels that compute it are left out."""
    lead, answers = margins(scores), scores.argmax(axis=1)
    order = by_class(scores)
    sure = steady.first([one for one in order if lead[one] > SURE], count)
    near = [one for one in order if lead[one] <= TOLERANCE]
    near = steady.first(sorted(near, key=lambda one: one not in between), _TRIES * count)
    half = min(len(near), max(count // 2, count - len(sure)))
    kept = sure[: count - half]
    kept += _spread(near, scores, answers[kept].tolist(), half)
    doubtful = [one for one in order if TOLERANCE < lead[one] <= SURE]
    if len(kept) < count:
        kept += steady.first(doubtful, count - len(kept))
    facts = [_fact(scores[one], classes) for one in kept]
    meet = int((lead[kept] <= TOLERANCE).sum()) if kept else 0
    covered = len({fact["answer"] for fact in facts})
    told = f"{len(kept)} {what}; it answers them with {covered} of its {len(classes)} classes"
    if meet:
        told += f", and {meet} lie where two classes meet"
    tried = steady.tried
    if left_out := tried.inputs - tried.steady:
        told += (
            f"; of {tried.inputs} tried ones {left_out} {'is' if left_out == 1 else 'are'} left "
        )
        told += "out, since other kernels of the runtime answer otherwise"
    examples = [steady.example(one) for one in kept]
    return Chosen(np.stack(examples) if examples else np.empty(0), facts, told, tried)


def _spread(
    near: Sequence[int], scores: np.ndarray, known: Collection[int], count: int
) -> list[int]:
    """Up to ``count`` of them, each time one of another answer, or of two others that meet."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :2].tolist()
    answers, pairs, left, found = set(known), set[frozenset[int]](), list(near), list[int]()
    while left and len(found) < count:
        one = min(left, key=lambda n: (best[n][0] in answers, frozenset(best[n]) in pairs))
        left.remove(one)
        found.append(one)
        answers.add(best[one][0])
        pairs.add(frozenset(best[one]))
    return found


def _fact(scores: np.ndarray, classes: Sequence[str]) -> dict[str, object]:
    """What the model says of an image, not what it shows."""
    best = np.argsort(-scores, kind="stable")
    lead = float(margins(scores[None])[0])
    second = {"second": classes[int(best[1])]} if len(best) > 1 else {}
    return {"answer": classes[int(best[0])], **second, "margin": round(lead, 4)}
