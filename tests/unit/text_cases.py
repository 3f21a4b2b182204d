"""Texts that tokenizers go wrong at, a vocabulary that tells how, and texts that people wrote."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

from tfedge.portable.pieces import Vocabulary
from tfedge.portable.wordpiece import CLS, PAD, SEP, UNKNOWN, WordPiece

REVIEWS = Path(__file__).parents[3] / "shared" / "texts" / "reviews"
WORDS = [
    "the",
    "a",
    "film",
    "movie",
    "good",
    "bad",
    "un",
    "##able",
    "##ing",
    "##ed",
    "##s",
    "play",
    "work",
    "naive",
    "cafe",
    "istanbul",
]
LETTERS = [*string.ascii_lowercase, *string.digits, *"äéßσψ日本ไ한𐐨"]
SIGNS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”…—¿¡")
VOCABULARY = [PAD, UNKNOWN, CLS, SEP, *WORDS, *LETTERS, *(f"##{one}" for one in LETTERS), *SIGNS]
NASTY = [
    "",
    "   \t\r\n",
    "İstanbul ΣΊΣΥΦΟΣ straße Ⅷ",
    "a\u200bb\x00c\ufffd\x85d\x0be\x1cf",
    "日本語テスト中文字",
    "naïve café ÀÉÎ e\u0301\u0301x",
    "[SEP] [CLS] [UNK] ##ing [PAD]",
    "x" * 101,
    "x" * 100,
    "$100 ^_^ `tick` ~",
    "\u2028a\u2029b\u00a0c\u3000d",
    "🙂👩‍👩‍👧 ok",
    "\u0130\u0131 ſ K ﬁ",
    "mid·dot «guill» “q” — …",
    "ᾼ ΐ ǅ",
    "\U0002f800 \U00020000",
    "a\u0345b ẞ",
    "กำ ไทย 한국어",
    "\U000e0001tag a\u00adb soft",
    "unplayable works",
    "DİYARBAKIR ISPARTA ışık i\u0307",
    "Straße STRASSE ẞ groß",
    "𐐨" * 100 + " " + "𐐀" * 101,
    "🙂" * 100 + " " + "🙂" * 101 + " a" + "🙂" * 3,
    "e\u0301\u0323\u0302 q\u0307\u0323 \u1e69 \u0301 \u0301a",
    "tab\tnl\ncr\rcrlf\r\nend\x0c\x7f\x80",
    "co\u00adoperate zero\u200bwidth bom\ufeff joiner\u200d\u2060",
    "Ελλάδα ΟΔΟΣ Привет МИР עברית العربية हिन्दी",
    "①②③ ½ ℃ Å Ω ﷺ ㈱ ｆｕｌｌ",
    "un-able, un—able…un\u2010able „play“ ‹work›",
    "\u037e\u1fef\u0387\u212a\u2000\u202f\u205f",
    "𝔘𝔫𝔦 𐐀𐐨 \U0001f1e9\U0001f1ea",
]


def of_pieces(pieces: Sequence[str], lower: bool = True) -> Vocabulary:
    """A vocabulary of WordPiece."""
    return Vocabulary(WordPiece.name, tuple(pieces), lower)


def reviews() -> list[str]:
    """10,662 sentences, accents among them."""
    return [
        line
        for file in sorted(REVIEWS.glob("rt-polarity.*"))
        for line in file.read_text(encoding="latin-1").splitlines()
    ]
