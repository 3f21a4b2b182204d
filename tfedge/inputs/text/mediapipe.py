"""What MediaPipe's tokenizer makes of texts, which an app gets that runs a drop's model with
MediaPipe's TextClassifier.

It lowers ASCII letters alone and takes no accent off, so that of a word with another letter most
often ``[UNK]`` is left (``BertPreprocessorCalculator`` and ``BertTokenizer`` of MediaPipe 0.10.21).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import NamedTuple

from tfedge.inputs.text.texts import Encoding
from tfedge.portable.wordpiece import LONGEST, WordPiece, is_chinese, is_punctuation

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_WORD = re.compile("[^ \t\n\f\r]+")  # what else is a blank, such as U+00A0, is a letter to it


class MediaPipeWordPiece(WordPiece):
    """WordPiece as MediaPipe has it."""

    def words(self, text: str) -> list[str]:
        lowered = text.translate(_LOWER)
        spaced = (f" {one} " if is_punctuation(one) or is_chinese(one) else one for one in lowered)
        return _WORD.findall("".join(spaced))

    def _is_too_long(self, word: str) -> bool:
        return len(word.encode("utf-8", "surrogatepass")) > LONGEST  # it counts bytes


class ReadOtherwise(NamedTuple):
    """Of ``texts`` with ``words``: how many texts get other ids by MediaPipe's tokenizer, and how
    many words become ``[UNK]`` by it alone."""

    texts: int
    other_ids: int
    words: int
    unknown: int


def read_otherwise(texts: Iterable[str], encoding: Encoding) -> ReadOtherwise:
    """As far as the model reads them."""
    ours, theirs = encoding.tokenizer(), MediaPipeWordPiece(encoding.vocabulary)
    count = others = words = unknown = 0
    for text in texts:
        one, other = (each.encode(text, encoding.length) for each in (ours, theirs))
        count += 1
        others += one.ids != other.ids
        words += one.words
        unknown += max(0, other.unknown - one.unknown)
    return ReadOtherwise(count, others, words, unknown)
