"""A BERT's weights, from its own names to the network's."""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tfedge.catalog.encoders import Encoder
from tfedge.errors import ArtifactError
from tfedge.modeling.nets.weights.encoder_files import Files
from tfedge.pipeline.encoder_folder import TENSORS

Arrays = dict[str, np.ndarray]


def tensors(files: Files) -> Arrays:
    """All tensors, float32, by their names in the file. ArtifactError when it is damaged."""
    try:
        found = load(files.read(TENSORS))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(TENSORS, f"no weights: {error}", "fetch it again") from error
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def converted(given: Arrays, row: Encoder, depth: int, length: int) -> Arrays:
    """The weights of an encoder's first ``depth`` layers under the network's names,
    ``layer/weight``.

    Kernels become 1×1 convolutions HWIO; the query is divided by √(hidden / heads), so that scores
    need no factor; gammas are multiplied by the root of how many numbers they scale, since a
    variance is taken as a sum. ``length`` positions are kept, with the first segment's embedding
    added. ArtifactError names a tensor that is not there, or of another shape.
    """
    reader = _Reader(given, row)
    words, positions = (reader(f"embeddings.{one}_embeddings.weight") for one in _TABLES)
    positions = positions[:length]
    if row.style != "distilbert":
        positions = positions + reader("embeddings.token_type_embeddings.weight")[0]
    found: Arrays = {"words/table": words, "positions/table": positions[None, None]}
    found |= reader.norm("embeddings_norm", "embeddings.LayerNorm")
    if row.embedding != row.hidden:
        found |= reader.dense("embeddings_projection", "embeddings_project")
    names = _LAYERS[row.style]
    factor = (row.hidden / row.heads) ** -0.5
    for number in range(depth):
        theirs = {part: names["layer"].format(number) + name for part, name in names.items()}
        ours = f"layer_{number}"
        found |= reader.dense(f"{ours}_query", theirs["query"], factor)
        for part in ("key", "value", "attended", "inner", "outer"):
            found |= reader.dense(f"{ours}_{part}", theirs[part])
        found |= reader.norm(f"{ours}_attention_norm", theirs["attention_norm"])
        found |= reader.norm(f"{ours}_norm", theirs["norm"])
    return {key: np.ascontiguousarray(value, np.float32) for key, value in found.items()}


_TABLES = ("word", "position")
_BERT = {
    "layer": "encoder.layer.{}.",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
_LAYERS = {
    "bert": _BERT,
    "electra": _BERT,
    "distilbert": {
        "layer": "transformer.layer.{}.",
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attended": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "inner": "ffn.lin1",
        "outer": "ffn.lin2",
        "norm": "output_layer_norm",
    },
}


class _Reader:
    """Tensors by name, whether or not the model's own stands before it."""

    def __init__(self, given: Arrays, row: Encoder) -> None:
        self._given, self._row = given, row

    def __call__(self, name: str) -> np.ndarray:
        for full in (name, f"{self._row.style}.{name}"):
            if full in self._given:
                return self._given[full]
        raise ArtifactError(TENSORS, f"holds no {name}", f"of a {self._row.style}, as it says?")

    def dense(self, ours: str, theirs: str, factor: float = 1.0) -> Arrays:
        kernel, bias = self(f"{theirs}.weight"), self(f"{theirs}.bias")
        return {f"{ours}/kernel": (kernel.T * factor)[None, None], f"{ours}/bias": bias * factor}

    def norm(self, ours: str, theirs: str) -> Arrays:
        gamma, beta = self(f"{theirs}.weight"), self(f"{theirs}.bias")
        kernel = (gamma * len(gamma) ** 0.5)[None, None, :, None]
        return {f"{ours}/depthwise_kernel": kernel, f"{ours}/bias": beta}
