"""What the folder of a user's own encoder says of it: config.json, as Hugging Face's libraries
write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfedge.catalog.encoders import STYLES, Encoder, why_not
from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json, sha256_file, sha256_json
from tfedge.files.whole import whole
from tfedge.portable.tokenizers import TOKENIZERS

CONFIG, TENSORS, PICKLED, TOKENIZER = (
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer_config.json",
)
_SMALL = 2**20  # bytes of a config
_SAVE = "load it with its library, and keep it with save_pretrained(folder)"


@dataclass(frozen=True)
class _Reading:
    """How the config of an architecture is read: ``names`` of keys that a BERT's are called
    otherwise, ``defaults`` where they are missing, and the keys that have one value here, ``must``
    in config.json and ``tokenizer`` in tokenizer_config.json. ``inner`` units for each hidden one
    have feed-forward parts that config.json leaves open. ``projected``: config.json says how many
    numbers a piece has before the first layer; ``bottleneck``: and how many inside of a layer."""

    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)
    must: Mapping[str, object] = field(default_factory=dict)
    tokenizer: Mapping[str, object] = field(default_factory=dict)
    inner: int | None = None
    projected: bool = False
    bottleneck: bool = False


_BERT = {"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
_NORM = {"layer_norm_eps": 1e-12}
_READINGS: Mapping[str, _Reading] = {  # by model_type, the name of a Style
    "bert": _Reading(defaults=_NORM, must=_BERT),
    "electra": _Reading(defaults=_NORM, must=_BERT, projected=True),
    "distilbert": _Reading(
        names={
            "num_hidden_layers": "n_layers",
            "hidden_size": "dim",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
        },
        defaults=_NORM,
        must={"activation": "gelu", "sinusoidal_pos_embds": False},
    ),
    "gpt2": _Reading(
        names={
            "num_hidden_layers": "n_layer",
            "hidden_size": "n_embd",
            "num_attention_heads": "n_head",
            "intermediate_size": "n_inner",
            "max_position_embeddings": "n_positions",
            "layer_norm_eps": "layer_norm_epsilon",
        },
        defaults={"layer_norm_eps": 1e-5},
        must={
            "activation_function": "gelu_new",
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False,
        },
        tokenizer={"add_prefix_space": False, "add_bos_token": False},
        inner=4,
    ),
    "mobilebert": _Reading(
        defaults=_NORM,
        must={
            "hidden_act": "relu",
            "normalization_type": "no_norm",
            "trigram_input": True,
            "use_bottleneck": True,
            "use_bottleneck_attention": False,
            "key_query_shared_bottleneck": True,
        },
        projected=True,
        bottleneck=True,
    ),
}


class NotRead(ValueError):
    """A folder that holds no encoder which is read here, and why."""


def encoder_of(folder: Path) -> Encoder:
    """The encoder that a folder holds. NotRead."""
    _must_have(folder, (CONFIG,))
    given = _json(folder / CONFIG)
    kind = given.get("model_type")
    if not isinstance(kind, str) or kind not in _READINGS:
        why = why_not(kind) if isinstance(kind, str) else ""
        reason = f", since {why}" if why else ""
        raise NotRead(
            f"{folder}: model_type {kind!r} is not read{reason}: {', '.join(_READINGS)} are"
        )
    _must_have(folder, (tensors_of(folder), *_vocabulary(kind)))
    return _encoder(folder, given, kind)


def tensors_of(folder: Path) -> str:
    """The name of the file that its weights are read from: a pickle only where there is nothing
    else."""
    pickled = (folder / PICKLED).is_file() and not (folder / TENSORS).is_file()
    return PICKLED if pickled else TENSORS


def digest_of(folder: Path, row: Encoder) -> str:
    """SHA-256 over the files of an encoder's folder that are read. OSError."""
    return _digest(folder, (CONFIG, tensors_of(folder), *_vocabulary(row.style)))


def reads_of(folder: Path, row: Encoder) -> str:
    """SHA-256 over the files that say how texts become ids: small ones. OSError."""
    return _digest(folder, (CONFIG, *_vocabulary(row.style)))


def _digest(folder: Path, names: tuple[str, ...]) -> str:
    """SHA-256 over these files and, where there is one, the tokenizer's."""
    read = [*names, *([TOKENIZER] if (folder / TOKENIZER).is_file() else [])]
    return sha256_json({name: sha256_file(folder / name) for name in read})


def _vocabulary(style: str) -> tuple[str, ...]:
    """The files of a vocabulary."""
    return tuple(TOKENIZERS[STYLES[style].tokenizer].files.values())


def _must_have(folder: Path, names: tuple[str, ...]) -> None:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise NotRead(f"{folder}: no {', '.join(missing)}: {_SAVE}")


def _encoder(folder: Path, given: Mapping[str, Any], kind: str) -> Encoder:
    reading, path = _READINGS[kind], folder / CONFIG

    def number(key: str, default: int | None = None) -> int:
        name = reading.names.get(key, key)
        value = given.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise NotRead(f"{path}: {name}: {value!r}")
        return value

    _check(path, given, reading.must)
    tokenizer = _json(folder / TOKENIZER) if (folder / TOKENIZER).is_file() else {}
    _check(folder / TOKENIZER, tokenizer, reading.tokenizer)
    hidden, heads = number("hidden_size"), number("num_attention_heads")
    bottleneck = number("intra_bottleneck_size") if reading.bottleneck else 0
    if (width := bottleneck or hidden) % heads:
        raise NotRead(f"{path}: {width} numbers in {heads} heads")
    norm = reading.names.get("layer_norm_eps", "layer_norm_eps")
    epsilon = given.get(norm, reading.defaults["layer_norm_eps"])
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise NotRead(f"{path}: {norm}: {epsilon!r}")
    return Encoder(
        name=folder.name,
        layers=number("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        inner=number("intermediate_size", reading.inner and reading.inner * hidden),
        vocabulary=number("vocab_size"),
        positions=number("max_position_embeddings"),
        epsilon=epsilon,
        lower=bool(tokenizer.get("do_lower_case", True)),
        embedding=number("embedding_size", hidden) if reading.projected else hidden,
        style=kind,
        bottleneck=bottleneck,
        stacked=number("num_feedforward_networks") if reading.bottleneck else 1,
    )


def _check(path: Path, given: Mapping[str, Any], must: Mapping[str, object]) -> None:
    """NotRead for a key of another value than the one that is read."""
    for key, wanted in must.items():
        if (value := given.get(key, wanted)) != wanted:
            raise NotRead(f"{path}: {key} {value!r} is not read, {wanted!r} is")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(whole(path, _SMALL).decode("utf-8"))
    except (ArtifactError, ValueError) as error:
        raise NotRead(f"{path}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise NotRead(f"{path}: no JSON object")
    return found
