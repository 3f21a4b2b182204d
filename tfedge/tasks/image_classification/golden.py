"""Which images become golden pairs: made ones, public ones, or held-out ones of the owner's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from tfedge.inputs.images.synthetic import Sketch, Sketches, mixed
from tfedge.portable.golden import TOLERANCE
from tfedge.tasks import photos
from tfedge.tasks.classification.golden import (
    SURE,
    Steady,
    by_class,
    choose,
    chosen,
    margins,
)
from tfedge.tasks.drop import Asked, Chosen
from tfedge.tasks.image_classification.examples import LabelledImages

_SKETCHES = 192  # that every model is asked about
_ROUNDS = 12  # of looking for classes that none of them is taken for
_SOUGHT, _EACH = 8, 4  # classes in a round, and attempts at each
_ENDS, _BISECTIONS = 5, 8  # images between which boundaries are looked for; halvings of a way


def held_out(examples: LabelledImages, rows: Sequence[int], count: int) -> Chosen:
    """The first image of each class, then the second …, with the names of their classes."""
    numbers = examples.targets(rows).tolist()
    picked = choose(numbers, count)
    facts = [{"class": examples.classes[numbers[i]]} for i in picked]
    images = examples.inputs([rows[i] for i in picked])
    return Chosen(images, facts, f"{len(picked)} held-out images of the owner")


def synthetic(size: int, classes: Sequence[str], asked: Asked, count: int) -> Chosen:
    """Images that nobody took: of ``tfedge.inputs.images.synthetic`` those that the model takes for
    different classes, and mixes of them that lie where two classes meet."""
    sketches, scores = _sketched(size, asked, min(len(classes), count))
    steady = Steady(asked, lambda one: sketches[one].image(size))
    order, lead = by_class(scores), margins(scores)
    sure = [one for one in order if lead[one] > SURE]
    found = steady.first(sure or order, count)
    ends = [sketches[one].image(size) for one in _firsts(found, scores)[:_ENDS]]
    if mixes := _between(ends, asked):
        scores = np.concatenate([scores, asked.outputs(np.stack(mixes))])
    steady.example = lambda one: (
        sketches[one].image(size) if one < len(sketches) else mixes[one - len(sketches)]
    )
    between = range(len(sketches), len(scores))
    return chosen(steady, scores, classes, count, "synthetic images, made for this model", between)


def public(
    files: Sequence[Path], size: int, fit: str, classes: Sequence[str], asked: Asked, count: int
) -> Chosen:
    """Of image files those that the model takes for different classes, and those that lie where two
    classes meet. DataError for files that are no images, or without any."""
    images = photos.public(files, size, fit)
    scores = asked.outputs(np.stack(images))
    steady = Steady(asked, images.__getitem__)
    return chosen(steady, scores, classes, count, "images that the owner calls public")


def _sketched(size: int, asked: Asked, wanted: int) -> tuple[list[Sketch], np.ndarray]:
    """Sketches and the model's scores. It is sure of ``wanted`` classes, if these can be found."""
    sketches = [Sketch(number) for number in range(_SKETCHES)]
    scores = asked.outputs(Sketches(sketches, size))
    for turn in range(_ROUNDS):
        lead = _leads(scores)
        best = lead.max(axis=0)
        missing = np.flatnonzero(best <= SURE)
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
