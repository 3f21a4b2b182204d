"""Weights from a file of the user's: ``.h5``, ``.keras`` or ``.npz``. Arrays only; no code is run.

No model is loaded and no pickle: HDF5 is read as arrays, a ``.keras`` file's model is not built,
``.npz`` with ``allow_pickle=False``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import ArtifactError
from tfedge.files import zips
from tfedge.files.artifact import parse_json
from tfedge.files.budget import WEIGHTS
from tfedge.files.whole import whole
from tfedge.modeling.nets.weights import hdf5

Shapes = Mapping[str, tuple[int, ...]]  # "layer/weight" in the order of the net's layers
Arrays = dict[str, np.ndarray]

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
# What json, h5py and numpy raise on damaged bytes.
_DAMAGE = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    MemoryError,
)


def read(path: Path, asked: Callable[[], Mapping[str, Any]] = dict) -> tuple[Arrays, str]:
    """Every array of the file, by ``layer/weight`` (or ``layer/0``), and the file's SHA-256.

    ``asked`` gives the config of the net that the weights are for; it names the layers of a file
    that only counts them. Raises ArtifactError when the file is missing, of another format,
    damaged, or a pickle.
    """
    formats: dict[str, tuple[bytes, Callable[[bytes, Path], Arrays]]] = {
        ".h5": (_HDF5_MAGIC, partial(hdf5.read, asked=asked)),
        ".hdf5": (_HDF5_MAGIC, partial(hdf5.read, asked=asked)),
        ".keras": (_ZIP_MAGIC, _keras),
        ".npz": (_ZIP_MAGIC, _npz),
    }
    if path.suffix.lower() not in formats:
        raise ArtifactError(
            path,
            "no format of weights that is known",
            "backbone.weights is imagenet, wheel, none, or a file ending in .h5, .keras or .npz",
        )
    magic, reader = formats[path.suffix.lower()]

    def checked(start: bytes) -> None:
        if not start.startswith(magic):
            raise ArtifactError(
                path,
                "refused, and nothing of it was run: it is a pickle or another file under this "
                "name",
                "save the weights with Keras' model.save('x.keras'), save_weights, or numpy.savez",
                f"a {path.suffix} file",
                f"one that begins with {start!r}",
            )

    hint = "backbone.weights is imagenet, wheel, none, or a file that exists"
    data = whole(path, WEIGHTS.size, checked, "the weights file ", hint)
    return reader(data, path), hashlib.sha256(data).hexdigest()


def model_config(path: Path) -> Mapping[str, Any] | None:
    """The config of the model that a file holds, as text says it; None where it has weights alone.

    Of a file that ``read`` has read: what is damaged is ArtifactError.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".keras":
            with _opened(path.read_bytes(), path) as archive:
                found = parse_json(archive.read("config.json"))
        elif suffix in (".h5", ".hdf5"):
            found = hdf5.model_config(path)
        else:
            return None
        config = found.get("config") if isinstance(found, dict) else None
        return config if isinstance(config, dict) else None
    except _DAMAGE as error:
        what = f"a damaged config of its model ({error})"
        raise ArtifactError(path, what, "save it again") from error


def _opened(data: bytes, path: Path) -> AbstractContextManager[zips.Zip]:
    return zips.opened(data, WEIGHTS.budget(str(path), len(data)))


def _keras(data: bytes, path: Path) -> Arrays:
    try:
        with _opened(data, path) as archive:
            config = parse_json(archive.read("config.json"))["config"]
            weights = archive.read("model.weights.h5")
        return hdf5.read(weights, path, config)
    except _DAMAGE as error:
        raise ArtifactError(path, f"a damaged .keras file ({error})", "save it again") from error


def _npz(data: bytes, path: Path) -> Arrays:
    try:
        found: Arrays = {}
        with _opened(data, path) as archive:
            for info in archive.infos():
                key = _npz_key(info.filename.removesuffix(".npy"))
                if key in found:
                    raise ValueError("two arrays are called the same")
                content = io.BytesIO(b"".join(archive.pieces(info)))
                found[key] = np.lib.format.read_array(content, allow_pickle=False)
        return found
    except _DAMAGE as error:
        raise ArtifactError(
            path, f"refused, and nothing of it was run: no arrays alone ({error})", "save it again"
        ) from error


def _npz_key(name: str) -> str:
    """``layer/weight`` of a variable's name: Keras' own may have ``/`` in a layer's, and ``:0``."""
    layer, slash, weight = name.rpartition("/")
    return name if not slash else f"{layer.replace('/', '_')}/{weight.split(':')[0]}"


def select(found: Mapping[str, np.ndarray], shapes: Shapes) -> tuple[Arrays, list[str]]:
    """The arrays under the net's own names, and the layers of the file that the net lacks.

    ``layer/0`` becomes the first weight of that layer; Keras 3 calls a depthwise kernel ``kernel``.
    """
    order = _by_layer(shapes)
    chosen: Arrays = {}
    ignored: dict[str, None] = {}
    for key, array in found.items():
        layer, _, weight = key.partition("/")
        if layer not in order:
            ignored[layer] = None
        elif weight.isdigit() and int(weight) < len(order[layer]):
            chosen[order[layer][int(weight)]] = array
        elif weight == "kernel" and order[layer][0].endswith("/depthwise_kernel"):
            chosen[order[layer][0]] = array
        else:
            chosen[key] = array
    return chosen, list(ignored)


def in_order(found: Mapping[str, np.ndarray], shapes: Shapes) -> tuple[Arrays, list[str]] | None:
    """The arrays by their position alone, as Keras' own loader takes them; else as ``select``.

    The layers of the file and of the net are gone through side by side; those that are left at the
    end of the file are a head. None unless each layer has as many arrays, of the same shapes.
    """
    ours, theirs = _by_layer(shapes), _by_layer(found)
    chosen: Arrays = {}
    for keys, others in zip(ours.values(), theirs.values(), strict=False):
        if [tuple(shapes[key]) for key in keys] != [found[key].shape for key in others]:
            return None
        chosen |= {key: found[other] for key, other in zip(keys, others, strict=True)}
    return (chosen, list(theirs)[len(ours) :]) if len(chosen) == len(shapes) else None


def _by_layer(keys: Iterable[str]) -> dict[str, list[str]]:
    layers: dict[str, list[str]] = {}
    for key in keys:
        layers.setdefault(key.partition("/")[0], []).append(key)
    return layers


def fits(weights: Mapping[str, np.ndarray], shapes: Shapes) -> bool:
    """Whether there is a weight of the right shape for each of the net's, and no other."""
    return {k: v.shape for k, v in weights.items()} == {k: tuple(v) for k, v in shapes.items()}


def check(path: str, weights: Mapping[str, np.ndarray], shapes: Shapes) -> Arrays:
    """The weights as float32 in the net's order. ArtifactError unless they fit it one to one."""
    wrong = [
        f"{key}: expected {shape}, got nothing"
        for key, shape in shapes.items()
        if key not in weights
    ]
    for key, array in weights.items():
        if key not in shapes:
            wrong.append(f"{key}: no such weight in this net")
        elif array.shape != tuple(shapes[key]):
            wrong.append(f"{key}: expected {tuple(shapes[key])}, got {array.shape}")
        elif array.dtype.kind != "f":
            wrong.append(f"{key}: expected float numbers, got {array.dtype}")
        elif not np.isfinite(array).all():
            wrong.append(f"{key}: holds numbers that are not finite")
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ArtifactError(
            path,
            f"not the weights of this backbone: {'; '.join(wrong[:3])}{more}",
            "set backbone.name and backbone.alpha to the net that the file was saved from, "
            "or backbone.weights to imagenet, wheel or none",
        )
    return {key: np.ascontiguousarray(weights[key], np.float32) for key in shapes}
