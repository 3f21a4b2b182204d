"""Texts as a network reads them: ids, encoded once and kept by the SHA-256 of a text's file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfedge.data.audit import Bad
from tfedge.data.index import Index
from tfedge.errors import ArtifactError
from tfedge.files.progress import NoProgress, Progress
from tfedge.files.store import MissingRecords, RecordStore, shared
from tfedge.portable.pieces import Encoded, Tokenizer, Vocabulary
from tfedge.portable.tokenizers import TOKENIZERS
from tfedge.portable.wordpiece import SPECIAL, WordPiece

LARGEST = 16 * 2**20  # bytes of a text's file
_VERSION = 1  # rises when the same text gets other ids
_BATCH = 256  # texts whose ids are written together
_AGAIN = "run again, the data are checked anew"


class Refused(Exception):
    """A file that is no good text; ``bad`` says why."""

    def __init__(self, bad: Bad) -> None:
        super().__init__(bad.reason)
        self.bad = bad


def text_of(content: bytes, encoding: str) -> str:
    """A file's text, without a byte order mark. ``Refused`` for one that is empty, or whose bytes
    are not of that encoding."""
    if len(content) > LARGEST:
        raise Refused(Bad(f"has {len(content):,} bytes, more than {LARGEST:,}", "split it"))
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{content[error.start]:02x} at {error.start}"
        remedy = "save these texts as UTF-8, or set data.encoding (cp1252 and latin-1 are frequent)"
        raise Refused(Bad(f"is not {encoding}: {wrong}", remedy)) from None
    if not text.strip():
        raise Refused(Bad("is empty"))
    return text


@dataclass(frozen=True)
class Encoding:
    """How a text becomes ids: by which vocabulary, how many, and how its file holds characters."""

    vocabulary: Vocabulary
    length: int
    encoding: str

    def store(self, cache: Path) -> RecordStore:
        """The store of int32 [2, length], ids and mask, by the SHA-256 of a text's file."""
        parts = ["\n".join(self.vocabulary.pieces)]
        if self.vocabulary.tokenizer != WordPiece.name:
            parts += [self.vocabulary.tokenizer, *self.vocabulary.merges]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        case = "lower" if self.vocabulary.lower else "cased"
        name = f"ids-{self.length}-{digest}-{case}-{self.encoding}-v{_VERSION}"
        return shared(cache / "store" / name, np.int32, (2, self.length))

    def tokenizer(self) -> Tokenizer:
        return self.kind(self.vocabulary)

    @property
    def kind(self) -> type[Tokenizer]:
        return TOKENIZERS[self.vocabulary.tokenizer]


def seen_pieces(vocabulary: Sequence[str], ids: np.ndarray) -> tuple[int, ...]:
    """Which pieces of WordPiece's vocabulary are among these ids, ascending, with the special ones
    and all single characters: texts with these ids are cut into the same pieces by what is left,
    and no word that can be spelt becomes unknown."""
    found = set(np.unique(ids).tolist())
    found |= {number for number, piece in enumerate(vocabulary) if _is_kept(piece)}
    return tuple(sorted(found))


def _is_kept(piece: str) -> bool:
    return piece in SPECIAL or len(piece.removeprefix("##")) == 1


class Look(NamedTuple):
    """What the audit asks of a text. ``same`` is equal for texts that differ in blanks and case
    only; ``cut``: it is longer than what the network reads; ``words`` and, of them, ``unknown``."""

    same: bytes
    cut: bool
    words: int
    unknown: int


def look(text: str, encoded: Encoded) -> Look:
    """Of a text and its ids."""
    plain = " ".join(text.casefold().split())
    same = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return Look(same, encoded.cut, encoded.words, encoded.unknown)


def looks_of(
    store: RecordStore, files: Mapping[str, Path], encoding: Encoding, progress: Progress
) -> tuple[dict[str, Look], dict[str, Bad]]:
    """Reads every text and keeps the ids of new ones. By file digest: what the audit asks, or why
    there is nothing. ArtifactError for a file that is no longer the one that was hashed."""
    tokenizer = encoding.tokenizer()
    looks: dict[str, Look] = {}
    bad: dict[str, Bad] = {}
    missing = set(store.missing(files))
    new: dict[str, np.ndarray] = {}
    for done, (digest, path) in enumerate(files.items(), 1):
        try:
            text = text_of(_verified(path, digest), encoding.encoding)
        except Refused as error:
            bad[digest] = error.bad
        else:
            encoded = tokenizer.encode(text, encoding.length)
            looks[digest] = look(text, encoded)
            if digest in missing:
                new[digest] = _record(encoded)
        if len(new) == _BATCH or (new and done == len(files)):
            store.put(list(new), np.stack(list(new.values())))
            new = {}
        progress.update("texts", done, len(files), "texts")
    return looks, bad


def _record(encoded: Encoded) -> np.ndarray:
    return np.asarray([encoded.ids, encoded.mask], np.int32)


def _verified(path: Path, digest: str) -> bytes:
    """The file's bytes, if they still are what was hashed. ArtifactError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(path, f"can't be read: {error.strerror}") from error
    got = hashlib.sha256(data).hexdigest()
    if got != digest:
        hint = "run again when nothing writes to the texts any more"
        raise ArtifactError(path, "changed since it was scanned", hint, digest[:16], got[:16])
    return data


class EncodedTexts:
    """The ids of the index' texts. Threads may share it."""

    def __init__(self, index: Index, root: Path, cache: Path, encoding: Encoding) -> None:
        self.index, self.root, self.cache, self.encoding = index, root, cache, encoding
        self.store = encoding.store(cache)
        self._lock = threading.Lock()

    def ids(self, rows: Sequence[int], progress: Progress | None = None) -> np.ndarray:
        """int32 [len(rows), 2, length]: ids and mask; encodes what is not stored yet.

        Raises ArtifactError for a file that is gone, unreadable or changed since it was scanned.
        """
        keys = self.index.keys(rows)
        try:
            return np.asarray(self.store.get(keys))
        except MissingRecords as missing:
            self._encode(rows, missing.keys, progress or NoProgress())
        return np.asarray(self.store.get(keys))

    def text(self, row: int) -> str:
        """A text as it stands in its file. ArtifactError."""
        found = self.index.rows[row]
        path = self.root / found.path
        try:
            return text_of(_verified(path, found.sha256), self.encoding.encoding)
        except Refused as error:
            raise ArtifactError(path, error.bad.reason, _AGAIN) from error

    def _encode(self, rows: Sequence[int], keys: Sequence[str], progress: Progress) -> None:
        wanted = set(keys)
        found = (self.index.rows[number] for number in rows)
        files = {row.sha256: self.root / row.path for row in found if row.sha256 in wanted}
        with self._lock:
            _, bad = looks_of(self.store, files, self.encoding, progress)
        for digest, why in bad.items():
            raise ArtifactError(files[digest], why.reason, _AGAIN)
