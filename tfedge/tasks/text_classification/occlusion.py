"""Which words speak for an answer: how much of its score is lost when they are left out.

Occlusion, as of Zeiler and Fergus 2014 ("Visualizing and Understanding Convolutional Networks") for
images, and Li, Monroe and Jurafsky 2016 ("Understanding Neural Networks through Representation
Erasure") for words: the shipped model itself is asked, nothing of it needs to be open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfedge.inputs.text.corruptions import between, without
from tfedge.inputs.text.texts import Encoding
from tfedge.tasks.task import Ask

WORDS = 3  # that are named of a text, at most
_RUNS = 16  # of a text's words that are left out together at first
_CLOSELY = 2  # of these whose words are then left out one by one
_LEAST = 0.02  # of a score: a word of less is not worth naming, and may be rounding


class Word(NamedTuple):
    """A word of a text and where its pieces stand, all its occurrences."""

    text: str
    places: tuple[int, ...]


class Without(NamedTuple):
    """The score of an answer once a word is left out."""

    word: str
    score: float


def words_of(ids: np.ndarray, encoding: Encoding) -> list[Word]:
    """The different words between the marks of a text, int32 [2, length], ids and mask, in the
    order in which they come."""
    found: dict[str, list[int]] = {}
    text, places = "", list[int]()
    for place in between(ids, encoding.kind.marks).tolist():
        spelt, begins = encoding.kind.spelt(encoding.vocabulary.pieces[ids[0, place]])
        if places and not begins:
            text, places = text + spelt, [*places, place]
            continue
        if places:
            found.setdefault(text, []).extend(places)
        text, places = spelt, [place]
    if places:
        found.setdefault(text, []).extend(places)
    return [Word(text, tuple(places)) for text, places in found.items() if text]


def speaking(
    ids: np.ndarray, encoding: Encoding, answer: int, score: float, ask: Ask
) -> list[Without]:
    """The words of a text (see ``words_of``) without which the score [0, 1] of class ``answer``
    falls most, the most first; none for a text of one word.

    A long text's words are left out in runs first, then those of the runs that mattered, one by
    one: some thirty questions a text.
    """
    words = words_of(ids, encoding)
    if len(words) < 2:
        return []

    def left(groups: Sequence[Sequence[Word]]) -> np.ndarray:
        places = [[place for word in group for place in word.places] for group in groups]
        shown = np.stack([without(ids, some, encoding.kind.marks) for some in places])
        scores: np.ndarray = ask(shown)[:, answer]
        return scores

    if len(words) > 2 * _RUNS:
        runs = np.array_split(np.arange(len(words)), _RUNS)
        groups = [[words[at] for at in run] for run in runs]
        closely = np.argsort(left(groups), kind="stable")[:_CLOSELY]
        words = [word for at in sorted(closely.tolist()) for word in groups[at]]
    scores = left([[word] for word in words])
    order = np.argsort(scores, kind="stable")[:WORDS].tolist()
    return [
        Without(words[at].text, float(scores[at])) for at in order if scores[at] <= score - _LEAST
    ]
