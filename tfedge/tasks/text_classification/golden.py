"""Which texts become golden pairs: made ones, public ones, or held-out ones of the owner's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.data.kind import TEXTS
from tfedge.errors import DataError
from tfedge.inputs.text.texts import Refused, text_of
from tfedge.tasks.classification.golden import Steady, choose, chosen
from tfedge.tasks.drop import Asked, Chosen
from tfedge.tasks.text_classification.examples import LabelledTexts

_MADE = 320  # texts that every model is asked about
_WORDS = (1, 60)  # of a made text
_LEAST = 3  # letters of a word in it
_AWKWARD = (  # what tokenizers go wrong at
    "Ünïcödé naïve CAFÉ — “quoted” words…",
    "日本語 text, 中文 and русский!",
    "e-mail@example.com costs $9.99 (50 % off)\tnow\n",
)
_PUBLIC = 256  # files of a folder that are looked at


def held_out(examples: LabelledTexts, rows: Sequence[int], count: int) -> Chosen:
    """The first text of each class, then the second …, with the names of their classes."""
    numbers = examples.targets(rows).tolist()
    picked = choose(numbers, count)
    facts = [
        {"class": examples.classes[numbers[i]], "text": examples.texts.text(rows[i])}
        for i in picked
    ]
    ids = examples.inputs([rows[i] for i in picked])
    return Chosen(ids, facts, f"{len(picked)} held-out texts of the owner")


def synthetic(examples: LabelledTexts, asked: Asked, count: int) -> Chosen:
    """Texts that nobody wrote, of words of the vocabulary: those that the model takes for different
    classes, and those that lie where two classes meet."""
    encoding = examples.texts.encoding
    words = encoding.kind.words_of(encoding.vocabulary.pieces)
    return _picked(made(words), examples, asked, count, "made texts")


def public(files: Sequence[Path], examples: LabelledTexts, asked: Asked, count: int) -> Chosen:
    """Of text files those that the model takes for different classes, and those that lie where two
    classes meet. DataError for files that are no texts, or without any."""
    named = [file for file in files if TEXTS.names(file.name)]
    if not named:
        raise DataError(["package.golden: no texts in the folder"], "put .txt files into it")
    texts, bad = [], []
    for file in named[:: -(-len(named) // _PUBLIC)]:
        try:
            texts.append(text_of(file.read_bytes(), examples.texts.encoding.encoding))
        except Refused as error:
            bad.append(f"{file}: {error.bad.reason}")
    if bad:
        raise DataError(bad, "repair the files, or take them away")
    return _picked(texts, examples, asked, count, "texts that the owner calls public")


def made(known: Sequence[str]) -> list[str]:
    """Texts of the long ones of the words that a vocabulary has whole, and a few texts that
    tokenizers go wrong at; the same every time."""
    words = [word for word in known if len(word) >= _LEAST]
    rng = np.random.default_rng(0)
    found = list(_AWKWARD)
    for _ in range(_MADE - len(found) if words else 0):
        count = int(rng.integers(_WORDS[0], _WORDS[1] + 1))
        # Of few different words: such a text is of something.
        few = rng.choice(len(words), min(len(words), 1 + count // 4), replace=False)
        found.append(" ".join(words[i] for i in rng.choice(few, count)))
    return found


def _picked(
    texts: Sequence[str], examples: LabelledTexts, asked: Asked, count: int, what: str
) -> Chosen:
    encoding = examples.texts.encoding
    tokenizer = encoding.tokenizer()
    encoded = [tokenizer.encode(text, encoding.length) for text in texts]
    ids = np.asarray([[one.ids, one.mask] for one in encoded], np.int32)
    scores = asked.outputs(ids)
    steady = Steady(asked, ids.__getitem__)
    found = chosen(steady, scores, examples.classes, count, what)
    places = {one.tobytes(): number for number, one in enumerate(ids)}
    facts: list[Mapping[str, Any]] = [
        {**fact, "text": texts[places[one.tobytes()]]}
        for fact, one in zip(found.facts, found.inputs, strict=True)
    ]
    return Chosen(found.inputs, facts, found.told, found.tried)
