"""A BERT's weights, from its own names to the network's."""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tfedge.catalog.encoders import Encoder
from tfedge.errors import ArtifactError
from tfedge.modeling.nets.weights.encoder_files import Files
from tfedge.modeling.nets.weights.unpickle import Arrays
from tfedge.modeling.nets.weights.unpickle import load as unpickled
from tfedge.pipeline.encoder_folder import PICKLED, TENSORS


def tensors(files: Files) -> Arrays:
    """All tensors, float32, by their names in the file. ArtifactError when it is damaged, or a
    pickle of anything else."""
    content = files.read(files.tensors)
    if files.tensors == PICKLED:
        found = unpickled(content, PICKLED, TENSORS)
    else:
        found = _safetensors(content)
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def _safetensors(content: bytes) -> Arrays:
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(TENSORS, f"no weights: {error}", "fetch it again") from error


def converted(
    given: Arrays, row: Encoder, depth: int, length: int, called: str = TENSORS
) -> Arrays:
    """The weights of an encoder's first ``depth`` layers under the network's names,
    ``layer/weight``.

    Kernels become 1×1 convolutions HWIO; the query is divided by √(hidden / heads), so that scores
    need no factor; gammas are multiplied by the root of how many numbers they scale, since a
    variance is taken as a sum. ``length`` positions are kept, with the first segment's embedding
    added. ArtifactError names a tensor that is not there, and the file, ``called``.
    """
    reader = _Reader(given, row, called)
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

    def __init__(self, given: Arrays, row: Encoder, called: str) -> None:
        self._given, self._row, self._called = given, row, called

    def __call__(self, *names: str) -> np.ndarray:
        """The first of these that there is."""
        for name in names:
            for full in (name, f"{self._row.style}.{name}"):
                if full in self._given:
                    return self._given[full]
        what, style = f"holds no {names[0]}", self._row.style
        raise ArtifactError(self._called, what, f"of a {style}, as it says?")

    def dense(self, ours: str, theirs: str, factor: float = 1.0) -> Arrays:
        kernel, bias = self(f"{theirs}.weight"), self(f"{theirs}.bias")
        return {f"{ours}/kernel": (kernel.T * factor)[None, None], f"{ours}/bias": bias * factor}

    def norm(self, ours: str, theirs: str) -> Arrays:
        # As files that came from TensorFlow call them.
        gamma = self(f"{theirs}.weight", f"{theirs}.gamma")
        beta = self(f"{theirs}.bias", f"{theirs}.beta")
        kernel = (gamma * len(gamma) ** 0.5)[None, None, :, None]
        return {f"{ours}/depthwise_kernel": kernel, f"{ours}/bias": beta}
