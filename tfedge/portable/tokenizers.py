"""The tokenizers that there are, by the names that manifests have."""

from __future__ import annotations

from tfedge.portable.bpe import ByteLevelBPE
from tfedge.portable.pieces import Tokenizer
from tfedge.portable.wordpiece import WordPiece

TOKENIZERS: dict[str, type[Tokenizer]] = {one.name: one for one in (WordPiece, ByteLevelBPE)}
