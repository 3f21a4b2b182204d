"""What is counted of texts that MediaPipe's tokenizer reads otherwise. That it is MediaPipe's is
shown in tests/readers."""

from __future__ import annotations

from text_cases import VOCABULARY, of_pieces

from tfedge.inputs.text.mediapipe import MediaPipeWordPiece, ReadOtherwise, read_otherwise
from tfedge.inputs.text.texts import Encoding

LOWER = Encoding(of_pieces(VOCABULARY), 32, "utf-8")


def test_ascii_texts_are_read_alike() -> None:
    texts = ["A Good Film!", "un-able", "$100 ^_^", "[SEP] tab\there", ""]
    assert read_otherwise(texts, LOWER) == ReadOtherwise(5, 0, 17, 0)


def test_accents_and_upper_case_outside_ascii_are_unknown_to_it() -> None:
    """As far as the vocabulary lacks them: it has é, and so café is spelt otherwise."""
    found = read_otherwise(["a naïve film", "ΣΨ good", "σψ", "a café"], LOWER)
    assert found == ReadOtherwise(texts=4, other_ids=3, words=8, unknown=2)


def test_blanks_outside_ascii_join_words_to_it() -> None:
    assert MediaPipeWordPiece(of_pieces(VOCABULARY)).words("Good\u00a0film a") == [
        "good\u00a0film",
        "a",
    ]
    assert read_otherwise(["good\u00a0film a"], LOWER).unknown == 1


def test_it_lowers_what_has_case() -> None:
    cased = Encoding(of_pieces((*VOCABULARY, "Good"), False), 32, "utf-8")
    assert read_otherwise(["Good film", "good film"], cased) == ReadOtherwise(2, 1, 4, 0)


def test_no_more_than_the_model_reads_is_counted() -> None:
    assert read_otherwise(["good " * 40 + "café"], LOWER).unknown == 0
