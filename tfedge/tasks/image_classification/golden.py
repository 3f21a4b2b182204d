"""Which images become golden pairs: made ones, public ones, or held-out ones of the owner's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from tfedge.data.listing import IMAGE_SUFFIXES
from tfedge.errors import DataError
from tfedge.inputs.images.synthetic import Sketch, Sketches, mixed
from tfedge.portable.golden import TOLERANCE
from tfedge.portable.images import BadImage, decode
from tfedge.tasks.drop import Asked, Chosen
from tfedge.tasks.image_classification.examples import LabelledImages

_SURE = 2 * TOLERANCE  # each of two scores may move by the tolerance: then they keep their order
_USUAL = 0.75  # a margin that still shows when a machine computes otherwise: 1.0 is saturated
_SKETCHES = 192  # that every model is asked about
_ROUNDS = 12  # of looking for classes that none of them is taken for
_SOUGHT, _EACH = 8, 4  # classes in a round, and attempts at each
_ENDS, _BISECTIONS = 5, 8  # images between which boundaries are looked for; halvings of a way
_TRIES = 2  # images of a class, in case one is not steady
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
    order = _by_class(scores)
    lead = margins(scores)
    order = [*(one for one in order if lead[one] > _SURE), *order]
    images = {one: sketches[one].image(size) for one in dict.fromkeys(order[: 2 * count])}
    ends = [images[one] for one in _firsts(list(images), scores)[:_ENDS]]
    found = np.stack([*images.values(), *_between(ends, asked)])
    return _chosen(found, classes, asked, count, "synthetic images, made for this model")


def public(
    files: Sequence[Path], size: int, fit: str, classes: Sequence[str], asked: Asked, count: int
) -> Chosen:
    """Of image files those that the model takes for different classes, and those that lie where two
    classes meet. DataError for files that are no images, or without any."""
    named = [file for file in files if file.suffix[1:].lower() in IMAGE_SUFFIXES]
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
    return _chosen(np.stack(images), classes, asked, count, "images that the owner calls public")


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


def _chosen(
    images: np.ndarray, classes: Sequence[str], asked: Asked, count: int, what: str
) -> Chosen:
    """Half of them where two classes meet, as far as there are such; of both kinds, one of each
    class first. Those whose answer hangs on the kernels that compute it are left out."""
    scores = asked.outputs(images)
    lead, answers = margins(scores), scores.argmax(axis=1)
    order = _by_class(scores)
    near = [one for one in order if lead[one] <= TOLERANCE]
    sure = [one for one in order if lead[one] > _SURE]
    doubtful = [one for one in order if TOLERANCE < lead[one] <= _SURE]
    tried = [*sure[: _TRIES * count], *near[: _TRIES * count], *doubtful[:count]]
    steady = {one for one, fine in zip(tried, asked.steady(images[tried]), strict=True) if fine}
    sure, near = ([one for one in some if one in steady] for some in (sure, near))
    half = min(len(near), max(count // 2, count - len(sure)))
    kept = sure[: count - half]
    kept += _spread(near, scores, answers[kept].tolist(), half)
    kept += [one for one in doubtful if one in steady][: count - len(kept)]
    facts = [_fact(scores[one], classes) for one in kept]
    meet = int((lead[kept] <= TOLERANCE).sum()) if kept else 0
    covered = len({fact["answer"] for fact in facts})
    told = f"{len(kept)} {what}; it answers them with {covered} of its {len(classes)} classes"
    if meet:
        told += f", and {meet} lie where two classes meet"
    return Chosen(images[kept], facts, told)


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
