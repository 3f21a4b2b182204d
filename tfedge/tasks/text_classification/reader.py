"""Texts that a shipped classifier is asked about, in the pieces that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfedge.data.kind import TEXTS
from tfedge.errors import ConfigError
from tfedge.inputs.text.texts import LARGEST, Encoding, Refused, text_of
from tfedge.portable.pieces import BadVocabulary, Vocabulary
from tfedge.portable.tokenizers import TOKENIZERS
from tfedge.tasks.classification.answers import ScoreReader, graph_of
from tfedge.tasks.drop import Told, Unreadable
from tfedge.tasks.text_classification.schema import is_text_encoding

_TOKENIZERS = ("BertTokenizerOptions", "SentencePieceTokenizerOptions", "RegexTokenizerOptions")


class TextReader(ScoreReader):
    """By a contract. LookupError, TypeError and ValueError for one that says something else."""

    kind = TEXTS
    largest = LARGEST

    def __init__(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> None:
        super().__init__(facts)
        given = facts["input"]
        self._encoding = Encoding(
            _vocabulary(given, file), int(given["shape"][2]), given["encoding"]
        )
        self._parts = len(given["parts"])
        if not is_text_encoding(self._encoding.encoding):
            raise ValueError(f"no encoding {self._encoding.encoding!r}")
        self._tokenizer = self._encoding.tokenizer()

    def content(self, content: bytes, name: str) -> np.ndarray:
        """int32 [parts, length]: ids, mask and what no op reads, of a file's text."""
        try:
            return self._ids(text_of(content, self._encoding.encoding))
        except Refused as error:
            raise Unreadable(error.bad.reason) from error

    def typed(self, text: str) -> np.ndarray:
        """The same of a text."""
        if not text.strip():
            raise Unreadable("is empty")
        return self._ids(text)

    def _ids(self, text: str) -> np.ndarray:
        encoded = self._tokenizer.encode(text, self._encoding.length)
        found = np.zeros((self._parts, self._encoding.length), np.int32)  # no op reads the others
        found[0], found[1] = encoded.ids, encoded.mask
        return found


def _vocabulary(given: Mapping[str, Any], file: Callable[[str], bytes]) -> Vocabulary:
    kind = TOKENIZERS[given["tokenizer"]]
    contents = {key: file(given[key]) for key in kind.files}
    try:
        return kind.read(contents, bool(given["lower"]))
    except BadVocabulary as error:
        raise ValueError(f"{given[error.file]} {error}") from error


def recognises(metadata: Mapping[str, Any]) -> bool:
    """Whether TFLite metadata tell of a tokenizer."""
    graph = graph_of(metadata)
    units = [
        *graph.get("input_process_units", ()),
        *(
            unit
            for given in graph.get("input_tensor_metadata", ())
            for unit in given.get("process_units", ())
        ),
    ]
    return any(name in unit.get("options", {}) for unit in units for name in _TOKENIZERS)


def alone(model: bytes, told: Told) -> dict[str, Any]:
    """Never known: ConfigError."""
    what = "a .tflite by itself does not say which pieces a text is cut into, nor in which case"
    raise ConfigError([what], "give the drop or the run that it is of")
