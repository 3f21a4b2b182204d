"""Text to ids by byte-level BPE, as GPT-2 has it; of the standard library of Python 3.7 alone.

A text is cut into words, numbers, signs and blanks, and the bytes of each are merged pair by pair,
those pairs first that were most frequent when the vocabulary was made (Sennrich et al. 2016;
Radford et al. 2019). Nothing is unknown. The ids are those of the library ``tokenizers``, but that
a text which spells ``<|endoftext|>`` is a text: it gets no special id. A character that this
Python's Unicode does not know yet is a sign.
"""

from __future__ import annotations

import json
import re
import unicodedata
from heapq import heapify, heappop, heappush
from typing import ClassVar, Iterator, Mapping, Sequence

from tfedge.portable.pieces import BadVocabulary, Encoded, Tokenizer, Vocabulary, decoded, padded

_PIECES, _MERGES = "vocabulary", "merges"
_KEPT_WORDS = 1 << 16  # words whose ids are kept
_LONGEST_WORD = 1 << 14  # characters; what goes on is another word, far behind what a model reads
_BLOCK = 2 * _LONGEST_WORD + 8  # characters of a text that are looked at together
_AHEAD = 2  # characters behind a word that tell where it ends
_VERSION = "#version: 0.2\n"  # begins merges.txt
_WORDS = re.compile(
    # Over kinds of characters, as below: GPT-2's own expression needs \p{L} and \p{N}.
    "'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]{1,N}| ?0{1,N}| ?['!]{1,N}"
    "|[ \t]{1,N}(?![^ \t])|[ \t]{1,N}".replace("N", str(_LONGEST_WORD))
)


class _Kinds(dict):
    """A character's kind by its code: ``a`` a letter, ``0`` a number, a tab white space, ``!`` any
    other; the blank, the apostrophe and ASCII's letters are of kinds of their own."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isalpha():
            kind = character if code < 128 else "a"
        elif unicodedata.category(character)[0] == "N":
            kind = "0"
        elif character in " '":
            kind = character
        else:  # Python's white space has four signs more than Unicode's
            kind = "\t" if character.isspace() and not 0x1C <= code <= 0x1F else "!"
        self[code] = kind
        return kind


_KINDS = _Kinds()


def _byte_characters() -> list[str]:
    """The character that stands for each byte in a vocabulary: itself where it is a visible one of
    Latin-1, the next free one from U+0100 on where not."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    return [chr(byte if byte in visible else next(free)) for byte in range(256)]


_CHARACTERS = _byte_characters()
_BYTES = {character: byte for byte, character in enumerate(_CHARACTERS)}


class ByteLevelBPE(Tokenizer):
    """A tokenizer of one vocabulary."""

    name = "byte-level BPE"
    files: ClassVar[Mapping[str, str]] = {_PIECES: "vocab.json", _MERGES: "merges.txt"}
    spare = True  # pieces that were added to GPT-2, for padding say, stand in another file

    def __init__(self, vocabulary: Vocabulary) -> None:
        """KeyError for a vocabulary that lacks a byte or what a merge gives."""
        ids = {piece: number for number, piece in enumerate(vocabulary.pieces)}
        self._bytes = [ids[character] for character in _CHARACTERS]
        # By the ids of a pair: its rank, and the id of what it becomes.
        self._merges: dict[tuple[int, int], tuple[int, int]] = {}
        for rank, merge in enumerate(vocabulary.merges):
            left, right = merge.split(" ")
            self._merges[ids[left], ids[right]] = rank, ids[left + right]
        self._known: dict[str, list[int]] = {}

    @staticmethod
    def read(contents: Mapping[str, bytes], lower: bool) -> Vocabulary:
        pieces = _read_pieces(decoded(_PIECES, contents[_PIECES]))
        merges = _read_merges(decoded(_MERGES, contents[_MERGES]), set(pieces))
        return Vocabulary(ByteLevelBPE.name, pieces, False, merges)

    @staticmethod
    def written(vocabulary: Vocabulary) -> dict[str, bytes]:
        ids = {piece: number for number, piece in enumerate(vocabulary.pieces)}
        pieces = json.dumps(ids, ensure_ascii=False) + "\n"
        merges = _VERSION + "".join(f"{merge}\n" for merge in vocabulary.merges)
        contents = {_PIECES: pieces.encode(), _MERGES: merges.encode()}
        return {ByteLevelBPE.files[key]: content for key, content in contents.items()}

    @staticmethod
    def spelt(piece: str) -> tuple[str, bool]:
        """A byte that is no whole character is spelt as it stands in the vocabulary."""
        found = _text_of(piece)
        text = piece if found is None else found
        return text.strip(), not text[:1].isalnum()

    @staticmethod
    def words_of(pieces: Sequence[str]) -> list[str]:
        blank = _CHARACTERS[ord(" ")]
        texts = [_text_of(piece[1:]) for piece in pieces if piece.startswith(blank)]
        return [text for text in texts if text is not None and text.isalpha()]

    def words(self, text: str) -> Iterator[str]:
        """The words of a text, each of which is merged on its own."""
        start = 0
        while start < len(text):
            kinds = text[start : start + _BLOCK].translate(_KINDS)
            sure = len(kinds) - (_AHEAD if start + _BLOCK < len(text) else 0)
            at = 0
            for match in _WORDS.finditer(kinds):
                if match.end() > sure:
                    break
                at = match.end()
                yield text[start + match.start() : start + at]
            start += at

    def encode(self, text: str, length: int) -> Encoded:
        ids: list[int] = []
        words = 0
        for word in self.words(text):
            if len(ids) > length:
                break
            ids += self._ids_of(word)
            words += 1
        return Encoded(*padded(ids[:length], length, 0), words, 0, len(ids) > length)

    def _ids_of(self, word: str) -> list[int]:
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= _KEPT_WORDS:
                self._known.clear()
            # Half of a surrogate pair has no UTF-8, but may stand in a text of Python's.
            data = word.encode("utf-8", "surrogatepass")
            found = self._known[word] = self._merged([self._bytes[byte] for byte in data])
        return found

    def _merged(self, ids: list[int]) -> list[int]:
        """The pair of the lowest rank becomes one piece, the first of equal ones, as long as there
        is any. In n · log n steps: a word may be all of a text."""
        gone, end = -1, len(ids)
        after = list(range(1, end + 1))
        before = list(range(-1, end - 1))
        pairs = [
            (*self._merges[pair], place, pair)
            for place, pair in enumerate(zip(ids, ids[1:]))
            if pair in self._merges
        ]
        heapify(pairs)
        while pairs:
            _, merged, left, pair = heappop(pairs)
            right = after[left]
            if right == end or (ids[left], ids[right]) != pair:  # one of them was merged since
                continue
            ids[left], ids[right] = merged, gone
            after[left] = right = after[right]
            if right < end:
                before[right] = left
            for place in (before[left], left):
                if place >= 0 and after[place] < end:
                    pair = (ids[place], ids[after[place]])
                    if pair in self._merges:
                        heappush(pairs, (*self._merges[pair], place, pair))
        return [one for one in ids if one != gone]


def _text_of(piece: str) -> str | None:
    """What a piece stands for; None where it is no text, as half of a character."""
    try:
        return bytes(_BYTES[character] for character in piece).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


def _read_pieces(text: str) -> tuple[str, ...]:
    """Of a vocab.json, an object that says the id of each piece. BadVocabulary."""
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadVocabulary(_PIECES, f"no JSON: {error}") from error
    if not isinstance(ids, dict) or any(type(one) is not int for one in ids.values()):
        raise BadVocabulary(_PIECES, "no object that says the id of each piece")
    pieces = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise BadVocabulary(_PIECES, f"its {len(pieces):,} ids are not those from 0 on, each once")
    missing = sum(character not in ids for character in _CHARACTERS)
    if missing:
        raise BadVocabulary(_PIECES, f"lacks {missing} of the 256 bytes")
    return tuple(pieces)


def _read_merges(text: str, pieces: set[str]) -> tuple[str, ...]:
    """Of a merges.txt, a pair a line. BadVocabulary."""
    lines = [line.rstrip("\r") for line in text.split("\n")]  # not splitlines: as in vocab.txt
    found = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, blank, right = line.partition(" ")
        if not (blank and {left, right, left + right} <= pieces) or " " in right:
            raise BadVocabulary(_MERGES, f"line {number} is no merge of two pieces into another")
        found.append(line)
    return tuple(found)
