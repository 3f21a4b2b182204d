"""Weights out of Keras' HDF5 files, by the names written in them; nothing else is looked at.

Two layouts are known. Keras' classic one names every array ``[model_weights/]layer/layer/weight:0``
(a nested model adds a folder). The newer one, ``layers/conv2d_3/vars/0``, counts layers by their
class and weights by position: Keras 3 writes the layer's name beside it, for others the ``.keras``
file's config lists the layers in the same order (it is read as text; no layer is made from it).

``visititems`` follows no soft or external links, so a file can't pull in another file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tfedge.errors import ArtifactError

LIMIT = 2 << 30  # bytes of all weights; VGG16, the largest known, has 60 MB

_TRAINING = ("optimizer", "metrics", "compile")  # groups beside the layers'


def layer_names(config: Mapping[str, Any], prefix: str = "layers/") -> dict[str, str]:
    """``layers/conv2d_3`` → the name of the layer that stands there, nested models included.

    ``config`` is a model's part of config.json. Keras counts the layers of each class in the order
    of that list.
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in config.get("layers", ()):
        kind = _snake(layer["class_name"])
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        path = f"{prefix}{kind}_{number}" if number else f"{prefix}{kind}"
        names[path] = layer["config"]["name"]
        names |= layer_names(layer["config"], f"{path}/layers/")
    return names


def _snake(class_name: str) -> str:
    """Keras' own way to a file name: DepthwiseConv2D → depthwise_conv2d."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def read(data: bytes, path: Path, config: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
    """Every array of the layers as ``layer/weight``, or ``layer/0`` in the newer layout.

    Raises ArtifactError, calling the file ``path``, when it is damaged or its layers are unnamed.
    """
    names = layer_names(config or {})
    arrays: dict[str, np.ndarray] = {}
    total = 0

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        nonlocal total
        if not isinstance(item, h5py.Dataset) or name.startswith(_TRAINING):
            return
        if item.is_virtual or item.external:
            raise ArtifactError(path, f"{name} refers to another file", "save the weights again")
        if (total := total + item.nbytes) > LIMIT:
            raise ArtifactError(path, f"holds more than {LIMIT >> 30} GiB of arrays")
        key = _key(name, item, names)
        if key is None:
            raise ArtifactError(
                path,
                f"the layer of {name} has no name in this file",
                "save the whole model as .keras, or its weights with save_format='h5'",
            )
        if key in arrays:
            raise ArtifactError(path, f"holds {key} twice", "save the backbone alone")
        arrays[key] = item[()]

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file.visititems(visit)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise ArtifactError(
            path, f"a damaged HDF5 file ({error})", "fetch or save it again"
        ) from error
    return arrays


def _key(name: str, item: h5py.Dataset, names: Mapping[str, str]) -> str | None:
    if found := re.fullmatch(r"(.*)/vars/(\d+)", name):
        layer = item.parent.attrs.get("name") or names.get(found[1])
        return f"{layer}/{found[2]}" if layer else None
    *folders, weight = name.split("/")
    if not folders:
        return None
    layer = folders[-1]
    weight = weight.split(":")[0]
    # Keras 1, in which some of Keras' own files are still written: block1_conv1_W_1
    if old := re.fullmatch(re.escape(layer) + r"_(W|b)(_\d+)?", weight):
        weight = {"W": "kernel", "b": "bias"}[old[1]]
    return f"{layer}/{weight}"
