"""Which images become golden pairs: made ones, public ones, or held-out ones of the owner's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from tfedge.data.kind import IMAGES
from tfedge.errors import DataError
from tfedge.inputs.images.synthetic import Sketch, Sketches, mixed
from tfedge.portable.golden import TOLERANCE
from tfedge.portable.images import BadImage, decode
from tfedge.tasks.drop import Asked, Chosen, Tried
from tfedge.tasks.image_classification.examples import LabelledImages

_SURE = 2 * TOLERANCE  # each of two scores may move by the tolerance: then they keep their order
_USUAL = 0.75  # a margin that still shows when a machine computes otherwise: 1.0 is saturated
_SKETCHES = 192  # that every model is asked about
_ROUNDS = 12  # of looking for classes that none of them is taken for
_SOUGHT, _EACH = 8, 4  # classes in a round, and attempts at each
_ENDS, _BISECTIONS = 5, 8  # images between which boundaries are looked for; halvings of a way
_TRIES = 2  # images asked of other kernels at once, for each one that is wanted
_PUBLIC = 256  # files of a folder that are looked at


def held_out(examples: LabelledImages, rows: Sequence[int], count: int) -> Chosen:
    """The first image of each class, then the second …, with the names of their classes."""
    numbers = examples.targets(rows).tolist()
    chosen = choose(numbers, count)
    facts = [{"class": examples.classes[numbers[i]]} for i in chosen]
    images = examples.inputs([rows[i] for i in chosen])
    return Chosen(images, facts, f"{len(chosen)} held-out images of the owner")


def choose(numbers: Sequence[int], count: int) -> list[int]:
    """Positions of up to ``count`` images, given the numbers of their classes: the first of each
    class, then the second …"""
    seen: dict[int, int] = {}
    turns = []
    for position, number in enumerate(numbers):
        turns.append((seen.get(number, 0), number, position))
        seen[number] = seen.get(number, 0) + 1
    return [position for _, _, position in sorted(turns)[:count]]


def synthetic(size: int, classes: Sequence[str], asked: Asked, count: int) -> Chosen:
    """Images that nobody took: of ``tfedge.inputs.images.synthetic`` those that the model takes for
    different classes, and mixes of them that lie where two classes meet."""
    sketches, scores = _sketched(size, asked, min(len(classes), count))
    steady = _Steady(asked, lambda one: sketches[one].image(size))
    order, lead = _by_class(scores), margins(scores)
    sure = [one for one in order if lead[one] > _SURE]
    found = steady.first(sure or order, count)
    ends = [sketches[one].image(size) for one in _firsts(found, scores)[:_ENDS]]
    if mixes := _between(ends, asked):
        scores = np.concatenate([scores, asked.outputs(np.stack(mixes))])
    steady.image = lambda one: (
        sketches[one].image(size) if one < len(sketches) else mixes[one - len(sketches)]
    )
    between = range(len(sketches), len(scores))
    return _chosen(steady, scores, classes, count, "synthetic images, made for this model", between)


def public(
    files: Sequence[Path], size: int, fit: str, classes: Sequence[str], asked: Asked, count: int
) -> Chosen:
    """Of image files those that the model takes for different classes, and those that lie where two
    classes meet. DataError for files that are no images, or without any."""
    named = [file for file in files if IMAGES.names(file.name)]
    if not named:
        raise DataError(["package.golden: no images in the folder"], "put images into it")
    step = -(-len(named) // _PUBLIC)
    images, bad = [], []
    for file in named[::step]:
        try:
            images.append(decode(file, size, fit))
        except BadImage as error:
            bad.append(str(error))
    if bad:
        raise DataError(bad, "repair the files, or take them away")
    scores = asked.outputs(np.stack(images))
    steady = _Steady(asked, images.__getitem__)
    return _chosen(steady, scores, classes, count, "images that the owner calls public")


def margins(scores: np.ndarray) -> np.ndarray:
    """[N], by how much the best score of each row is above the second; 0 where there is one."""
    if scores.shape[1] < 2:
        return np.zeros(len(scores))
    ordered = np.sort(scores, axis=1)
    lead: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return lead


def _sketched(size: int, asked: Asked, wanted: int) -> tuple[list[Sketch], np.ndarray]:
    """Sketches and the model's scores. It is sure of ``wanted`` classes, if these can be found."""
    sketches = [Sketch(number) for number in range(_SKETCHES)]
    scores = asked.outputs(Sketches(sketches, size))
    for turn in range(_ROUNDS):
        lead = _leads(scores)
        best = lead.max(axis=0)
        missing = np.flatnonzero(best <= _SURE)
        if len(best) - len(missing) >= wanted:
            break
        sought = missing[np.argsort(-best[missing], kind="stable")][:_SOUGHT]
        new = [
            sketches[int(lead[:, one].argmax())].changed(
                _SKETCHES + _EACH * turn + attempt, 1000 * turn + 10 * int(one) + attempt
            )
            for one in sought
            for attempt in range(_EACH)
        ]
        scores = np.concatenate([scores, asked.outputs(Sketches(new, size))])
        sketches += new
    return sketches, scores


def _leads(scores: np.ndarray) -> np.ndarray:
    """[N, classes], by how much each score is above the best of the others."""
    best = scores.max(axis=1, keepdims=True)
    lead: np.ndarray = scores - best
    rows = np.arange(len(scores))
    lead[rows, scores.argmax(axis=1)] = margins(scores)
    return lead


def _by_class(scores: np.ndarray) -> list[int]:
    """Positions: one of each class that is answered, then another of each …, of each class those
    first whose margin is a usual one."""
    usual = np.argsort(abs(margins(scores) - _USUAL), kind="stable")
    answers = scores.argmax(axis=1)[usual].tolist()
    return [int(usual[position]) for position in choose(answers, len(answers))]


def _firsts(order: Sequence[int], scores: np.ndarray) -> list[int]:
    """The first position of each class."""
    answers = scores.argmax(axis=1)
    first: dict[int, int] = {}
    for one in order:
        first.setdefault(int(answers[one]), one)
    return list(first.values())


def _between(ends: Sequence[np.ndarray], asked: Asked) -> list[np.ndarray]:
    """For each two images a mix of them, as near as can be to where the answer changes."""
    pairs = list(combinations(ends, 2))
    if not pairs:
        return []
    answers = asked.outputs(np.stack([first for first, _ in pairs])).argmax(axis=1)
    low, high = np.zeros(len(pairs), int), np.full(len(pairs), 256)
    for _ in range(_BISECTIONS):
        middle = (low + high) // 2
        same = asked.outputs(_mixes(pairs, middle)).argmax(axis=1) == answers
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    sides = np.concatenate([_mixes(pairs, low), _mixes(pairs, high)])
    lead = margins(asked.outputs(sides)).reshape(2, -1)
    nearer = np.where(lead == 0, 1.0, lead).argmin(axis=0)  # of a tie one may say either
    near = [n for n in range(len(pairs)) if lead[nearer[n], n] <= TOLERANCE]
    return [sides[nearer[n] * len(pairs) + n] for n in near]


def _mixes(pairs: Sequence[tuple[np.ndarray, np.ndarray]], shares: np.ndarray) -> np.ndarray:
    return np.stack([mixed(*pair, int(share)) for pair, share in zip(pairs, shares, strict=True)])


class _Steady:
    """Which of many images have an answer that does not hang on the kernels that compute it. Each
    is asked once, and no more of them than it takes. ``image`` gives the one at a position."""

    def __init__(self, asked: Asked, image: Callable[[int], np.ndarray]) -> None:
        self.image = image
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
                fine = self._asked.steady(np.stack([self.image(one) for one in new]))
                self._known |= dict(zip(new, map(bool, fine), strict=True))
            found += [one for one in some if self._known[one]]
            if len(found) >= count:
                break
        return found[:count]

    @property
    def tried(self) -> Tried:
        """How many were asked, and how many are steady."""
        return Tried(len(self._known), sum(self._known.values()))


def _chosen(
    steady: _Steady,
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
    order = _by_class(scores)
    sure = steady.first([one for one in order if lead[one] > _SURE], count)
    near = [one for one in order if lead[one] <= TOLERANCE]
    near = steady.first(sorted(near, key=lambda one: one not in between), _TRIES * count)
    half = min(len(near), max(count // 2, count - len(sure)))
    kept = sure[: count - half]
    kept += _spread(near, scores, answers[kept].tolist(), half)
    doubtful = [one for one in order if TOLERANCE < lead[one] <= _SURE]
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
    images = [steady.image(one) for one in kept]
    return Chosen(np.stack(images) if images else np.empty(0), facts, told, tried)


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
