"""WordPiece against the library ``tokenizers``, and what it does with texts that mean harm."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from text_cases import NASTY, REVIEWS, VOCABULARY, of_pieces, reviews

from tfedge.portable.pieces import BadVocabulary
from tfedge.portable.wordpiece import CLS, PAD, SEP, UNKNOWN, WordPiece


def tokenizer(pieces: Sequence[str], lower: bool = True) -> WordPiece:
    return WordPiece(of_pieces(pieces, lower))


@pytest.fixture(scope="module")
def ours() -> WordPiece:
    return tokenizer(VOCABULARY)


def reference(vocabulary: list[str]):
    """``tokenizers`` with the same pieces; a text's own ``[SEP]`` is text there, too."""
    tokenizers = pytest.importorskip("tokenizers")
    known = {piece: number for number, piece in enumerate(vocabulary)}
    made = tokenizers.BertWordPieceTokenizer(known, lowercase=True)
    made._tokenizer.encode_special_tokens = True
    return made


def ids(tokenizer: WordPiece, text: str, length: int = 4096) -> list[int]:
    found = tokenizer.encode(text, length)
    assert len(found.ids) == len(found.mask) == length
    return found.ids[: sum(found.mask)]


@pytest.mark.parametrize("text", NASTY)
def test_ids_are_those_of_tokenizers(ours: WordPiece, text: str) -> None:
    assert ids(ours, text) == reference(VOCABULARY).encode(text).ids


def test_ids_of_random_texts_are_those_of_tokenizers(ours: WordPiece) -> None:
    rng = random.Random(3)
    parts = [*VOCABULARY[4:], " ", "  ", "\n", "Ä", "É", "\u0301", "\u200d", "中", "X", "THE"]
    theirs = reference(VOCABULARY)
    for _ in range(500):
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(40)))
        assert ids(ours, text) == theirs.encode(text).ids, text


def test_ids_of_what_people_wrote_are_those_of_tokenizers() -> None:
    if not REVIEWS.is_dir():
        pytest.skip(f"no {REVIEWS.name} beside the checkout")
    texts = reviews()
    words = sorted({word for text in texts for word in text.split()})[::7]
    pieces = [*VOCABULARY, *(word for word in words if word not in VOCABULARY)]
    ours, theirs = tokenizer(pieces), reference(pieces)
    wrong = [text for text in texts if ids(ours, text, 512) != theirs.encode(text).ids]
    assert len(texts) > 10_000 and wrong == []


def test_a_longer_text_is_cut_between_its_marks(ours: WordPiece) -> None:
    found = ours.encode("good film " * 50, 8)
    good, film = VOCABULARY.index("good"), VOCABULARY.index("film")
    assert found.ids == [2, good, film, good, film, good, film, 3]
    assert found.mask == [1] * 8 and found.cut
    short = ours.encode("good film", 8)
    assert short.ids == [2, good, film, 3, 0, 0, 0, 0] and short.mask == [1] * 4 + [0] * 4
    assert not short.cut
    assert not ours.encode("good film " * 3, 8).cut  # as long as there is room


def test_no_more_of_a_text_is_read_than_fits(ours: WordPiece, monkeypatch) -> None:
    looked = []
    whole = WordPiece.words
    monkeypatch.setattr(
        WordPiece, "words", lambda self, text: looked.append(text) or whole(self, text)
    )
    found = tokenizer(VOCABULARY).encode(" ".join(f"good{n}" for n in range(10_000)), 16)
    assert found.cut and len(looked) < 20


def test_unknown_words_are_counted(ours: WordPiece) -> None:
    found = ours.encode("good Ж film Ж Ж", 16)
    assert (found.words, found.unknown) == (5, 3)


def test_case_and_accents_stay_where_the_vocabulary_has_them() -> None:
    pieces = [PAD, UNKNOWN, CLS, SEP, "Café", "cafe"]
    assert ids(tokenizer(pieces, lower=False), "Café cafe CAFE") == [2, 4, 5, 1, 3]
    assert ids(tokenizer(pieces, lower=True), "Café cafe CAFE") == [2, 5, 5, 5, 3]


def test_a_vocabulary_is_read_line_by_line() -> None:
    content = "[PAD]\r\n[UNK]\r\n\u2028\r\nx\r\n\r\n"  # a piece may be what some call a line break
    content += "[CLS]\n[SEP]"
    found = WordPiece.read({"vocabulary": content.encode()}, lower=False)
    assert found.pieces == ("[PAD]", "[UNK]", "\u2028", "x", "", "[CLS]", "[SEP]")
    assert not found.lower
    (written,) = WordPiece.written(found).values()
    assert WordPiece.read({"vocabulary": written}, lower=False) == found
    for wrong, said in ((b"\xff", "is not UTF-8"), (b"[PAD]\n[CLS]", r"lacks \[UNK\], \[SEP\]")):
        with pytest.raises(BadVocabulary, match=said):
            WordPiece.read({"vocabulary": wrong}, lower=False)
    with pytest.raises(KeyError):
        tokenizer(["[PAD]", "[CLS]"])
