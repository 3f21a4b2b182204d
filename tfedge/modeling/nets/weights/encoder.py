"""An encoder's weights, from its own names to the network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    variance is taken as a sum. ``length`` positions are kept, of a BERT with the first segment's
    embedding added. ArtifactError names a tensor that is not there, or of another shape than
    config.json says, and the file, ``called``.
    """
    found = _STYLES[row.style](_Reader(given, row, called), row, depth, length)
    return {key: np.ascontiguousarray(value, np.float32) for key, value in found.items()}


def _bert(reader: _Reader, row: Encoder, depth: int, length: int) -> Arrays:
    wide, hidden = row.embedding, row.hidden
    words = reader(_WORDS, shape=(row.vocabulary, wide))
    positions = reader.positions("embeddings.position_embeddings.weight", length, wide)
    if row.style != "distilbert":
        segments = reader("embeddings.token_type_embeddings.weight", shape=(None, wide))
        positions = positions + segments[0]
    found: Arrays = {"words/table": words, "positions/table": positions[None, None]}
    found |= reader.norm("embeddings_norm", "embeddings.LayerNorm", wide)
    if wide != hidden:
        found |= reader.dense("embeddings_projection", "embeddings_project", wide, hidden)
    names = _LAYERS[row.style]
    for number in range(depth):
        theirs = {part: names["layer"].format(number) + name for part, name in names.items()}
        ours = f"layer_{number}"
        for part in ("query", "key", "value", "attended"):
            factor = (hidden / row.heads) ** -0.5 if part == "query" else 1.0
            found |= reader.dense(f"{ours}_{part}", theirs[part], hidden, hidden, factor)
        found |= reader.dense(f"{ours}_inner", theirs["inner"], hidden, row.inner)
        found |= reader.dense(f"{ours}_outer", theirs["outer"], row.inner, hidden)
        found |= reader.norm(f"{ours}_attention_norm", theirs["attention_norm"], hidden)
        found |= reader.norm(f"{ours}_norm", theirs["norm"], hidden)
    return found


def _gpt2(reader: _Reader, row: Encoder, depth: int, length: int) -> Arrays:
    """Its kernels are [inputs, outputs] (``Conv1D``), one of them query, key and value."""
    hidden = row.hidden
    words = reader("wte.weight", shape=(row.vocabulary, hidden))
    positions = reader.positions("wpe.weight", length, hidden)
    found: Arrays = {"words/table": words, "positions/table": positions[None, None]}
    for number in range(depth):
        theirs, ours = f"h.{number}", f"layer_{number}"
        kernel = reader(f"{theirs}.attn.c_attn.weight", shape=(hidden, 3 * hidden))
        bias = reader(f"{theirs}.attn.c_attn.bias", shape=(3 * hidden,))
        for place, part in enumerate(("query", "key", "value")):
            at = slice(place * hidden, (place + 1) * hidden)
            factor = (hidden / row.heads) ** -0.5 if part == "query" else 1.0
            found |= _dense(f"{ours}_{part}", kernel[:, at], bias[at], factor)
        for part, name, inputs, outputs in (
            ("attended", "attn.c_proj", hidden, hidden),
            ("inner", "mlp.c_fc", hidden, row.inner),
            ("outer", "mlp.c_proj", row.inner, hidden),
        ):
            kernel = reader(f"{theirs}.{name}.weight", shape=(inputs, outputs))
            bias = reader(f"{theirs}.{name}.bias", shape=(outputs,))
            found |= _dense(f"{ours}_{part}", kernel, bias)
        found |= reader.norm(f"{ours}_attention_norm", f"{theirs}.ln_1", hidden)
        found |= reader.norm(f"{ours}_norm", f"{theirs}.ln_2", hidden)
    return found | reader.norm("final_norm", "ln_f", hidden)


_WORDS = "embeddings.word_embeddings.weight"
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


def word_table(given: Arrays, row: Encoder, called: str = TENSORS) -> np.ndarray:
    """The embeddings of the pieces alone, float32 [pieces, embedding]. ArtifactError as
    ``converted``."""
    return _Reader(given, row, called)(_WORDS, shape=(row.vocabulary, row.embedding))


class _Reader:
    """Tensors by name, whether or not the model's own stands before it."""

    def __init__(self, given: Arrays, row: Encoder, called: str) -> None:
        self._given, self._row, self._called = given, row, called

    def __call__(self, *names: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """The first of these that there is, of that shape; None: any number."""
        style = self._row.style
        prefix = _PREFIXES.get(style, style)
        places = (full for name in names for full in (name, f"{prefix}.{name}"))
        found = next((self._given[full] for full in places if full in self._given), None)
        if found is None:
            raise ArtifactError(self._called, f"holds no {names[0]}", f"of a {style}, as it says?")
        fits = len(found.shape) == len(shape) and all(
            wanted in (None, got) for wanted, got in zip(shape, found.shape, strict=True)
        )
        if not fits or 0 in found.shape:
            expected = str(["any" if side is None else side for side in shape]).replace("'", "")
            what = f"{names[0]} is not of the shape that config.json says"
            raise ArtifactError(self._called, what, "", expected, str(list(found.shape)))
        return found

    def positions(self, name: str, length: int, size: int) -> np.ndarray:
        """The embeddings [length, size] of the first places."""
        found = self(name, shape=(None, size))
        if len(found) < length:
            what = f"{name} has {len(found)} positions of the {length} that are read"
            raise ArtifactError(self._called, what, "lower data.length")
        return found[:length]

    def dense(
        self, ours: str, theirs: str, inputs: int, outputs: int, factor: float = 1.0
    ) -> Arrays:
        """Of a kernel [outputs, inputs]."""
        kernel = self(f"{theirs}.weight", shape=(outputs, inputs))
        return _dense(ours, kernel.T, self(f"{theirs}.bias", shape=(outputs,)), factor)

    def norm(self, ours: str, theirs: str, size: int) -> Arrays:
        """Of a layer normalisation."""
        return self.scale(ours, theirs, size, size**0.5)

    def scale(self, ours: str, theirs: str, size: int, factor: float = 1.0) -> Arrays:
        """Of gamma and beta; the second names are those of files from TensorFlow."""
        gamma = self(f"{theirs}.weight", f"{theirs}.gamma", shape=(size,))
        beta = self(f"{theirs}.bias", f"{theirs}.beta", shape=(size,))
        kernel = (gamma * factor)[None, None, :, None]
        return {f"{ours}/depthwise_kernel": kernel, f"{ours}/bias": beta}


def _dense(ours: str, kernel: np.ndarray, bias: np.ndarray, factor: float = 1.0) -> Arrays:
    """Of a kernel [inputs, outputs]."""
    return {f"{ours}/kernel": (kernel * factor)[None, None], f"{ours}/bias": bias * factor}


def _mobilebert(reader: _Reader, row: Encoder, depth: int, length: int) -> Arrays:
    hidden, inside = row.hidden, row.bottleneck
    words = reader(_WORDS, shape=(row.vocabulary, row.embedding))
    positions = reader.positions("embeddings.position_embeddings.weight", length, hidden)
    segments = reader("embeddings.token_type_embeddings.weight", shape=(None, hidden))
    found: Arrays = {"words/table": words, "positions/table": (positions + segments[0])[None, None]}
    transformation = ("embeddings_projection", "embeddings.embedding_transformation")
    found |= reader.dense(*transformation, 3 * row.embedding, hidden)
    found |= reader.scale("embeddings_norm", "embeddings.LayerNorm", hidden)
    for number in range(depth):
        theirs, ours = f"encoder.layer.{number}", f"layer_{number}"
        for part, name in (("narrowed", "input"), ("shared", "attention")):
            narrow = f"{theirs}.bottleneck.{name}"
            found |= reader.dense(f"{ours}_{part}", f"{narrow}.dense", hidden, inside)
            found |= reader.scale(f"{ours}_{part}_norm", f"{narrow}.LayerNorm", inside)
        attention, factor = f"{theirs}.attention", (inside / row.heads) ** -0.5
        found |= reader.dense(f"{ours}_query", f"{attention}.self.query", inside, inside, factor)
        found |= reader.dense(f"{ours}_key", f"{attention}.self.key", inside, inside)
        found |= reader.dense(f"{ours}_value", f"{attention}.self.value", hidden, inside)
        found |= reader.dense(f"{ours}_attended", f"{attention}.output.dense", inside, inside)
        found |= reader.scale(f"{ours}_attention_norm", f"{attention}.output.LayerNorm", inside)
        for place in range(row.stacked):
            # The last one stands where a BERT has its only one.
            stacked = f"{theirs}.ffn.{place}" if place < row.stacked - 1 else theirs
            part = f"{ours}_{place}"
            inner = f"{stacked}.intermediate.dense"
            found |= reader.dense(f"{part}_inner", inner, inside, row.inner)
            found |= reader.dense(f"{part}_outer", f"{stacked}.output.dense", row.inner, inside)
            found |= reader.scale(f"{part}_norm", f"{stacked}.output.LayerNorm", inside)
        widened = f"{theirs}.output.bottleneck"
        found |= reader.dense(f"{ours}_widened", f"{widened}.dense", inside, hidden)
        found |= reader.scale(f"{ours}_norm", f"{widened}.LayerNorm", hidden)
    return found


_STYLES: Mapping[str, Callable[[_Reader, Encoder, int, int], Arrays]] = {
    "bert": _bert,
    "distilbert": _bert,
    "electra": _bert,
    "gpt2": _gpt2,
    "mobilebert": _mobilebert,
}
_PREFIXES = {"gpt2": "transformer"}  # of names in a model with a head, where not the style's own
