"""What tokenizers have in common: a vocabulary, and a text as ids; Python 3.7's library alone."""

from __future__ import annotations

from typing import ClassVar, Mapping, NamedTuple, Sequence


class Vocabulary(NamedTuple):
    """What a tokenizer is made of: its ``name``, and ``pieces`` in the order of their ids.

    ``lower``: they know neither upper case nor accents (WordPiece alone). ``merges`` are pairs of
    pieces with a blank in between, in the order in which they are merged (byte-level BPE alone).
    """

    tokenizer: str
    pieces: Sequence[str]
    lower: bool = False
    merges: Sequence[str] = ()


class BadVocabulary(ValueError):
    """Why one of a vocabulary's files is not read; ``file`` is its key in ``Tokenizer.files``."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(why)
        self.file = file


class Encoded(NamedTuple):
    """``ids`` and ``mask`` are of the asked length, ``mask`` 1 where there is a piece. ``words``
    are those that were looked at, ``unknown`` those of them without pieces; ``cut``: the text went
    on."""

    ids: list[int]
    mask: list[int]
    words: int
    unknown: int
    cut: bool


class Tokenizer:
    """Texts to ids, by one vocabulary."""

    name = ""
    # The names of a vocabulary's files, by their keys in a manifest.
    files: ClassVar[Mapping[str, str]] = {}
    marks = 0  # pieces of a text that stand for its beginning and end
    # Whether an encoder may have more pieces than its vocabulary's files say, which no text gets.
    spare = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        raise NotImplementedError

    @staticmethod
    def read(contents: Mapping[str, bytes], lower: bool) -> Vocabulary:
        """The vocabulary in these files, by their keys. BadVocabulary."""
        raise NotImplementedError

    @staticmethod
    def written(vocabulary: Vocabulary) -> dict[str, bytes]:
        """The vocabulary's files by their names."""
        raise NotImplementedError

    @staticmethod
    def spelt(piece: str) -> tuple[str, bool]:
        """What a piece stands for in a text, and whether it begins a word."""
        raise NotImplementedError

    @staticmethod
    def words_of(pieces: Sequence[str]) -> list[str]:
        """The texts of those pieces that are words of letters."""
        raise NotImplementedError

    def encode(self, text: str, length: int) -> Encoded:
        """The pieces of a text as far as they fit between its marks, padded to ``length`` ids. No
        more of the text is read than fits."""
        raise NotImplementedError


def decoded(file: str, content: bytes) -> str:
    """The text of one of a vocabulary's files. BadVocabulary."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadVocabulary(file, "is not UTF-8") from error


def padded(ids: list[int], length: int, pad: int) -> tuple[list[int], list[int]]:
    """Ids and mask of ``length`` numbers."""
    missing = length - len(ids)
    return ids + [pad] * missing, [1] * len(ids) + [0] * missing
