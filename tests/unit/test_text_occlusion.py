"""Which words of a text speak for an answer."""

from __future__ import annotations

import numpy as np
from text_cases import of_pieces

from tfedge.inputs.text.texts import Encoding
from tfedge.portable.bpe import _CHARACTERS, ByteLevelBPE
from tfedge.portable.pieces import Vocabulary
from tfedge.tasks.text_classification.occlusion import Word, speaking, words_of

FILLERS = [f"w{number}" for number in range(60)]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dull", "##ness", "a", ".", "fine", *FILLERS]
WEIGHTS = {"dull": 0.5, "##ness": 0.1, "fine": -0.2}


ENCODING = Encoding(of_pieces(PIECES), 80, "utf-8")


def encoded(text: str, length: int = 80, encoding: Encoding = ENCODING) -> np.ndarray:
    found = encoding.tokenizer().encode(text, length)
    return np.asarray([found.ids, found.mask], np.int32)


class Model:
    """The score of class 1 is a sum over the pieces that are there."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        self.asked += len(inputs)
        values = np.asarray([WEIGHTS.get(piece, 0.0) for piece in PIECES])
        scores = 0.3 + (values[inputs[:, 0]] * inputs[:, 1]).sum(1)
        return np.stack([1 - scores, scores], 1)


def test_a_word_is_all_its_pieces_and_all_its_occurrences() -> None:
    found = words_of(encoded("A dullness. A fine dull"), ENCODING)
    assert found == [
        Word("a", (1, 5)),
        Word("dullness", (2, 3)),
        Word(".", (4,)),
        Word("fine", (6,)),
        Word("dull", (7,)),
    ]


def test_a_text_that_fills_the_input_and_one_of_no_words() -> None:
    assert words_of(encoded("dullness a a", 5), ENCODING) == [
        Word("dullness", (1, 2)),
        Word("a", (3,)),
    ]
    assert words_of(encoded(""), ENCODING) == []
    assert speaking(encoded(""), ENCODING, 1, 0.3, Model()) == []


def test_words_of_bytes_and_a_text_without_marks() -> None:
    blank = _CHARACTERS[ord(" ")]
    pieces = (*_CHARACTERS, "du", "ll", "dull", f"{blank}a", f"{blank}f")
    merges = ("d u", "l l", "du ll", f"{blank} a", f"{blank} f")
    encoding = Encoding(Vocabulary(ByteLevelBPE.name, pieces, False, merges), 80, "utf-8")
    found = words_of(encoded("dull a fi.", encoding=encoding), encoding)
    assert found == [Word("dull", (0,)), Word("a", (1,)), Word("fi", (2, 3)), Word(".", (4,))]


def test_the_words_without_which_the_score_falls_most() -> None:
    ids, model = encoded("a dull fine ."), Model()
    score = float(model(ids[None])[0, 1])
    (found,) = speaking(ids, ENCODING, 1, score, model)
    assert found.word == "dull"
    np.testing.assert_allclose(found.score, 0.1)
    (other,) = speaking(ids, ENCODING, 0, 1 - score, model)  # of the other class
    assert other.word == "fine"


def test_a_long_text_is_asked_about_in_runs_and_gives_the_same_word() -> None:
    ids, model = encoded(" ".join([*FILLERS[:41], "dullness", *FILLERS[41:]])), Model()
    (found,) = speaking(ids, ENCODING, 1, 0.9, model)
    assert found.word == "dullness"
    np.testing.assert_allclose(found.score, 0.3)
    assert model.asked < 30 < len(FILLERS)


def test_what_an_eight_bit_step_may_be_is_not_told() -> None:
    ids = encoded("a dull fine .")
    assert speaking(ids, ENCODING, 1, 0.1 + 0.01, Model()) == []
