"""What the folder of a user's own encoder says of it: config.json, as Hugging Face's libraries
write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.catalog.encoders import Encoder
from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json, sha256_file, sha256_json
from tfedge.files.whole import whole

CONFIG, TENSORS, PICKLED, VOCABULARY, TOKENIZER = (
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "vocab.txt",
    "tokenizer_config.json",
)
_SMALL = 2**20  # bytes of a config
_SAVE = "load it with its library, and keep it with save_pretrained(folder)"
# By model_type: how the keys are called, which a BERT's are called otherwise.
_KEYS: Mapping[str, Mapping[str, str]] = {
    "bert": {},
    "electra": {},
    "distilbert": {
        "num_hidden_layers": "n_layers",
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
}


class NotRead(ValueError):
    """A folder that holds no encoder which is read here, and why."""


def encoder_of(folder: Path) -> Encoder:
    """The encoder that a folder holds. NotRead."""
    read = (CONFIG, tensors_of(folder), VOCABULARY)
    if missing := [name for name in read if not (folder / name).is_file()]:
        raise NotRead(f"{folder}: no {', '.join(missing)}: {_SAVE}")
    given = _json(folder / CONFIG)
    kind = given.get("model_type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise NotRead(f"{folder}: model_type {kind!r} is not read: {', '.join(_KEYS)} are")
    return _encoder(folder, given, kind)


def tensors_of(folder: Path) -> str:
    """The name of the file that its weights are read from: a pickle only where there is nothing
    else."""
    pickled = (folder / PICKLED).is_file() and not (folder / TENSORS).is_file()
    return PICKLED if pickled else TENSORS


def digest_of(folder: Path) -> str:
    """SHA-256 over the files that are read. OSError."""
    return _digest(folder, (CONFIG, tensors_of(folder), VOCABULARY))


def reads_of(folder: Path) -> str:
    """SHA-256 over the files that say how texts become ids: small ones. OSError."""
    return _digest(folder, (CONFIG, VOCABULARY))


def _digest(folder: Path, names: tuple[str, ...]) -> str:
    """SHA-256 over these files and, where there is one, the tokenizer's."""
    read = [*names, *([TOKENIZER] if (folder / TOKENIZER).is_file() else [])]
    return sha256_json({name: sha256_file(folder / name) for name in read})


def _encoder(folder: Path, given: Mapping[str, Any], kind: str) -> Encoder:
    names = _KEYS[kind]

    def number(key: str, default: int | None = None) -> int:
        value = given.get(names.get(key, key), default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise NotRead(f"{folder / CONFIG}: {names.get(key, key)}: {value!r}")
        return value

    def must_be(key: str, wanted: object) -> None:
        value = given.get(names.get(key, key), wanted)
        if value != wanted:
            raise NotRead(f"{folder / CONFIG}: {key} {value!r} is not read, {wanted!r} is")

    must_be("hidden_act", "gelu")
    must_be("position_embedding_type", "absolute")
    must_be("sinusoidal_pos_embds", False)
    hidden, heads = number("hidden_size"), number("num_attention_heads")
    if hidden % heads:
        raise NotRead(f"{folder / CONFIG}: {hidden} numbers in {heads} heads")
    epsilon = given.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise NotRead(f"{folder / CONFIG}: layer_norm_eps: {epsilon!r}")
    tokenizer = _json(folder / TOKENIZER) if (folder / TOKENIZER).is_file() else {}
    return Encoder(
        name=folder.name,
        layers=number("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        inner=number("intermediate_size"),
        vocabulary=number("vocab_size"),
        positions=number("max_position_embeddings"),
        epsilon=epsilon,
        lower=bool(tokenizer.get("do_lower_case", True)),
        embedding=number("embedding_size", hidden) if kind == "electra" else hidden,
        style=kind,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(whole(path, _SMALL).decode("utf-8"))
    except (ArtifactError, ValueError) as error:
        raise NotRead(f"{path}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise NotRead(f"{path}: no JSON object")
    return found
