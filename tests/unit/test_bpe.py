"""Byte-level BPE against the library ``tokenizers``, and what it does with texts and files that
mean harm."""

from __future__ import annotations

import json
import random
import sys
import time
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest

from tfedge.portable import bpe
from tfedge.portable.bpe import _CHARACTERS, ByteLevelBPE
from tfedge.portable.pieces import BadVocabulary, Vocabulary

SHARED = Path(__file__).parents[3] / "shared" / "texts" / "reviews"
TRAINING = [
    "The film isn't good, but they're sure we'll like it: I'd say it's 9/10!",
    "the weather of the north; the feather of the mother   and another",
    "naïve café 日本語テスト, 中文 and русский текст, 100 % in 2024",
    "def f(x):\n    return x + 1\n\n\tprint('done')  # twice\n",
    "thethethe 1234567 !!!??? ... 🙂🙂 👩‍👩‍👧 e\u0301",
] * 3
NASTY = [
    "",
    " ",
    "   \t\r\n",
    "a  b   c ",
    "don't DON'T 'tis we'll'll I'd've ''s 're",
    " 's 't",
    "x\u00a0y\u2003z\u3000\u1680w\x85v\x1cu\x0bt",
    "½ ² Ⅷ ٣٤ 一二三 १२ 1a2b",
    "İstanbul ΣΊΣΥΦΟΣ straße ᾼ ǅ ﬁ ʰ ª",
    "e\u0301\u0301x กำ ไทย 한국어 ᄒ",
    "🙂👩‍👩‍👧 ok \ufffd\ufeff\u200b\u00ad",
    "<|endoftext|> [SEP] Ġthe Ċ",
    "\x00\x01\x7f\x80\xff",
    "\U000e0001tag \U0010ffff \ue000",
    "_under__score -- ~~ $9.99 €5 ^^ `tick`",
    "\n\n\n  def\n \n x",
    "the" * 300,
    " " * 300 + "x",
]


def trained(size: int = 600):
    """A small vocabulary, as ``tokenizers`` trains it: theirs, and its files by their keys."""
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator(TRAINING, vocab_size=size, min_frequency=1, show_progress=False)
    state = json.loads(theirs.to_str())["model"]
    lines = ["#version: 0.2", *(" ".join(merge) for merge in state["merges"])]
    merges = "\n".join(lines) + "\n"
    files = {"vocabulary": json.dumps(state["vocab"]).encode(), "merges": merges.encode()}
    return theirs, files


@pytest.fixture(scope="module")
def both():
    theirs, files = trained()
    return ByteLevelBPE(ByteLevelBPE.read(files, lower=False)), theirs


def ids(tokenizer: ByteLevelBPE, text: str, length: int = 4096) -> list[int]:
    found = tokenizer.encode(text, length)
    assert len(found.ids) == len(found.mask) == length and not found.cut
    count = sum(found.mask)
    assert found.mask[:count] == [1] * count
    return found.ids[:count]


@pytest.mark.parametrize("text", NASTY)
def test_ids_are_those_of_tokenizers(both, text: str) -> None:
    ours, theirs = both
    assert ids(ours, text) == theirs.encode(text).ids


def test_ids_of_random_texts_are_those_of_tokenizers(both, monkeypatch) -> None:
    ours, theirs = both
    rng = random.Random(3)
    parts = [
        *"the a'sdtmlvr 1½é\n\t !?_",
        "  ",
        "'ll",
        "\u00a0",
        "\u2003",
        "\x1c",
        "日",
        "🙂",
        "\u0301",
    ]
    for number in range(1000):
        if number == 500:  # the same where a text is looked at block by block
            monkeypatch.setattr(bpe, "_BLOCK", 48)
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(120)))
        assert ids(ours, text) == theirs.encode(text).ids, text


def test_every_character_is_of_the_kind_that_tokenizers_takes_it_for(both) -> None:
    """Of those that this Python's Unicode knows; a newer Unicode has more letters."""
    ours = both[0]
    split = pytest.importorskip("tokenizers.pre_tokenizers").ByteLevel(add_prefix_space=False)
    for one in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(one) in ("Cn", "Cs", "Co") or (one > "\u3400" and one.isalpha()):
            continue  # of letters the first ten thousand will do
        text = f"a{one}{one}1 {one}!  {one} b"
        words = [text[begin:end] for _, (begin, end) in split.pre_tokenize_str(text)]
        assert list(ours.words(text)) == words, hex(ord(one))


def test_ids_of_what_people_wrote_are_those_of_tokenizers(both) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED.name} beside the checkout")
    ours, theirs = both
    texts = [
        line
        for file in sorted(SHARED.glob("rt-polarity.*"))
        for line in file.read_text(encoding="latin-1").splitlines()
    ]
    wrong = [text for text in texts if ids(ours, text) != theirs.encode(text).ids]
    assert len(texts) > 10_000 and wrong == []


def test_the_lowest_rank_is_merged_first_and_of_equal_ones_the_first() -> None:
    """By hand: of ``ababa`` ``ba`` twice, then ``ab`` has nothing left of it."""
    pieces = (*_CHARACTERS, "ba", "ab", "aba", "baba")
    made = ByteLevelBPE(Vocabulary("", pieces, False, ("b a", "a b", "ba ba", "ab a")))
    assert [pieces[one] for one in ids(made, "ababa")] == ["a", "baba"]
    turned = ByteLevelBPE(Vocabulary("", pieces, False, ("a b", "b a", "ba ba", "ab a")))
    assert [pieces[one] for one in ids(turned, "ababa")] == ["ab", "aba"]


def test_a_longer_text_is_cut(both) -> None:
    ours, theirs = both
    text = "the weather of the north " * 50
    found = ours.encode(text, 16)
    assert found.cut and found.mask == [1] * 16
    assert found.ids == theirs.encode(text).ids[:16] and found.words < 20
    short = ours.encode("the", 16)
    assert (short.cut, sum(short.mask), short.ids[1:]) == (False, 1, [0] * 15)
    exact = theirs.encode("the weather of the north")
    assert not ours.encode("the weather of the north", len(exact.ids)).cut


@pytest.mark.parametrize("unit", ["a", "é", "ab", " ", "'", "1 "])
def test_a_text_of_sixteen_megabytes_is_read_as_far_as_it_fits(both, unit: str) -> None:
    ours, _ = both
    begin = time.monotonic()
    found = ours.encode(unit * (2**24 // len(unit)), 512)
    assert found.cut and sum(found.mask) == 512
    assert time.monotonic() - begin < 5  # all of it would take minutes


def test_half_of_a_surrogate_pair_is_three_bytes(both) -> None:
    assert len(ids(both[0], "\udcff")) == 3


def test_files_are_read_as_they_were_written(both) -> None:
    _, files = trained()
    found = ByteLevelBPE.read(files, lower=True)
    assert not found.lower  # it has no such kind
    written = ByteLevelBPE.written(found)
    again = {key: written[name] for key, name in ByteLevelBPE.files.items()}
    assert set(written) == {"vocab.json", "merges.txt"}
    assert ByteLevelBPE.read(again, lower=False) == found
    windows = {**again, "merges": again["merges"].replace(b"\n", b"\r\n")}
    assert ByteLevelBPE.read(windows, lower=False) == found


def test_words_are_texts_of_letters() -> None:
    pieces = ["Ġfilm", "film", "ĠcafÃ©", "Ġ2024", "ĠÃ", "Ġ", "Ġ<|x|>", "Ġ\u4e2d"]
    assert ByteLevelBPE.words_of(pieces) == ["film", "café"]


ALL = {piece: number for number, piece in enumerate((*_CHARACTERS, "ab"))}


@pytest.mark.parametrize(
    ("change", "file", "said"),
    [
        ({"vocabulary": b"\xff"}, "vocabulary", "is not UTF-8"),
        ({"merges": b"\xff"}, "merges", "is not UTF-8"),
        ({"vocabulary": b"[" * 100_000}, "vocabulary", "no JSON"),
        ({"vocabulary": b"[]"}, "vocabulary", "no object"),
        ({"vocabulary": b'{"a": true}'}, "vocabulary", "no object"),
        ({"vocabulary": b'{"a": 0.5}'}, "vocabulary", "no object"),
        ({"vocabulary": b'{"a": ' + b"9" * 10_000 + b"}"}, "vocabulary", "no JSON|0 on"),
        ({"vocabulary": b'{"a": 1}'}, "vocabulary", "1 ids are not those from 0 on"),
        ({"vocabulary": b'{"a": 0, "b": 0}'}, "vocabulary", "2 ids are not those from 0 on"),
        ({"vocabulary": b'{"a": 0, "b": 1}'}, "vocabulary", "lacks 254 of the 256 bytes"),
        ({"merges": b"#version: 0.2\na b\na\n"}, "merges", "line 3 is no merge"),
        ({"merges": b"a b\n#version: 0.2\n"}, "merges", "line 2 is no merge"),
        ({"merges": b"a c\n"}, "merges", "line 1 is no merge"),
        ({"merges": b"a b c\n"}, "merges", "line 1 is no merge"),
        ({"merges": b" ab\n"}, "merges", "line 1 is no merge"),
    ],
)
def test_files_that_are_none_are_said(change: Mapping[str, bytes], file: str, said: str) -> None:
    good = {"vocabulary": json.dumps(ALL).encode(), "merges": b"a b\n\n"}
    assert ByteLevelBPE.read(good, lower=False).merges == ("a b",)
    with pytest.raises(BadVocabulary, match=said) as error:
        ByteLevelBPE.read({**good, **change}, lower=False)
    assert error.value.file == file
