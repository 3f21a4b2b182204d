"""Text to ids by WordPiece, as BERT has it; of the standard library of Python 3.7 alone.

Characters, not languages: control characters go, accents go, upper case becomes lower case (for a
vocabulary that has none), each punctuation mark and each Chinese character is a word of its own,
and each word is cut into the longest pieces that the vocabulary has (Schuster and Nakajima 2012;
Devlin et al. 2019, ``BertTokenizer``). The ids are those of the library ``tokenizers``, but that a
text which spells ``[SEP]`` is a text: it gets no special id.
"""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Mapping, NamedTuple, Sequence

from tfedge.portable.pieces import BadVocabulary, Encoded, Tokenizer, Vocabulary, decoded, padded

PAD, UNKNOWN, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP)
_VOCABULARY = "vocabulary"
_PARTS = re.compile("[^ \t\n\r]+")  # blanks that part words whatever stands beside them
_REMEMBERED = 1 << 16  # parts of texts whose pieces are kept
LONGEST = 100  # characters of a word; a longer one is unknown, as BERT has it
# Not those that this Python's Unicode does not know yet: they are unknown pieces on any machine.
_INVISIBLE = ("Cc", "Cf", "Cs", "Co")
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class _Part(NamedTuple):
    ids: list[int]
    words: int
    unknown: int


class WordPiece(Tokenizer):
    """A tokenizer of one vocabulary."""

    name = "WordPiece"
    files: ClassVar[Mapping[str, str]] = {_VOCABULARY: "vocab.txt"}
    marks = 2

    def __init__(self, vocabulary: Vocabulary) -> None:
        """KeyError for a vocabulary that lacks a special piece."""
        self._ids = {piece: number for number, piece in enumerate(vocabulary.pieces)}
        self._lower = vocabulary.lower
        self._unknown, self._cls, self._sep = (self._ids[one] for one in (UNKNOWN, CLS, SEP))
        self._pad = self._ids[PAD]
        self._known: dict[str, _Part] = {}

    @staticmethod
    def read(contents: Mapping[str, bytes], lower: bool) -> Vocabulary:
        lines = decoded(_VOCABULARY, contents[_VOCABULARY]).split("\n")
        pieces = [line.rstrip("\r") for line in lines]  # not splitlines: a piece may be U+2028
        while pieces and not pieces[-1]:
            pieces.pop()
        lacking = [piece for piece in SPECIAL if piece not in pieces]
        if lacking:
            raise BadVocabulary(_VOCABULARY, f"lacks {', '.join(lacking)}")
        return Vocabulary(WordPiece.name, tuple(pieces), lower)

    @staticmethod
    def written(vocabulary: Vocabulary) -> dict[str, bytes]:
        content = "".join(f"{piece}\n" for piece in vocabulary.pieces)
        return {WordPiece.files[_VOCABULARY]: content.encode()}

    @staticmethod
    def spelt(piece: str) -> tuple[str, bool]:
        inside = piece.startswith("##") and len(piece) > 2
        return (piece[2:] if inside else piece), not inside

    @staticmethod
    def words_of(pieces: Sequence[str]) -> list[str]:
        return [piece for piece in pieces if piece.isalpha()]

    def words(self, text: str) -> list[str]:
        """The words of a text, as they are cut into pieces."""
        cleaned = "".join(map(_cleaned, text))
        if self._lower:
            cleaned = unicodedata.normalize("NFD", cleaned)
            cleaned = "".join(
                # One by one: the small sigma at the end of a word is the same as anywhere.
                character.lower()
                for character in cleaned
                if unicodedata.category(character) != "Mn"
            )
        spaced = (f" {one} " if is_punctuation(one) else one for one in cleaned)
        return "".join(spaced).split()

    def encode(self, text: str, length: int) -> Encoded:
        """[CLS], the pieces of a text, [SEP]."""
        room = length - 2
        ids: list[int] = []
        words = unknown = 0
        for part in _PARTS.finditer(text):
            if len(ids) > room:
                break
            found = self._pieces(part.group())
            ids += found.ids
            words += found.words
            unknown += found.unknown
        cut = len(ids) > room
        ids = [self._cls, *ids[:room], self._sep]
        return Encoded(*padded(ids, length, self._pad), words, unknown, cut)

    def _pieces(self, part: str) -> _Part:
        """What stands between two blanks of a text; most of it has been there before."""
        found = self._known.get(part)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            each = [self._cut(word) for word in self.words(part)]
            unknown = sum(ids == [self._unknown] for ids in each)
            found = _Part([one for ids in each for one in ids], len(each), unknown)
            self._known[part] = found
        return found

    def _is_too_long(self, word: str) -> bool:
        return len(word) > LONGEST

    def _cut(self, word: str) -> list[int]:
        if self._is_too_long(word):
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((one for one in ends if mark + word[start:one] in self._ids), None)
            if end is None:
                return [self._unknown]
            found.append(self._ids[mark + word[start:end]])
            start = end
        return found


def _cleaned(character: str) -> str:
    """A character as it stays, a blank for any white space, nothing for what nobody sees."""
    if character in "\t\n\r":
        return " "
    category = unicodedata.category(character)
    if character in "\0\ufffd" or category in _INVISIBLE:
        return ""
    if character.isspace() or category == "Zs":
        return " "
    return f" {character} " if is_chinese(character) else character


def is_chinese(character: str) -> bool:
    """Whether it is a word of its own: a character of Chinese, and of Japanese as far as it has
    them."""
    code = ord(character)
    return code >= 0x3400 and any(first <= code <= last for first, last in _CHINESE)


def is_punctuation(character: str) -> bool:
    """ASCII's signs are, too, that Unicode calls symbols."""
    code = ord(character)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return unicodedata.category(character)[0] == "P"
