"""A BERT's weights, from its own names to the network's."""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tfedge.errors import ArtifactError
from tfedge.modeling.nets.weights.encoder_files import TENSORS, Files

Arrays = dict[str, np.ndarray]


def tensors(files: Files) -> Arrays:
    """All tensors, float32, by their names in the file. ArtifactError when it is damaged."""
    try:
        found = load(files.read(TENSORS))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(TENSORS, f"no weights: {error}", "fetch it again") from error
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


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
