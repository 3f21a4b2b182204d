"""Weights out of Keras' HDF5 files, by the names written in them; nothing else is looked at.

Two layouts are known. Keras' classic one names every array ``[model_weights/]layer/layer/weight:0``
(a nested model adds a folder), and lists the layers in their order. The newer one,
``layers/conv2d_3/vars/0``, counts layers by their class and weights by position: Keras 3 writes the
layer's name beside it, for others the ``.keras`` file's config lists the layers in the same order
(it is read as text; no layer is made from it). Where neither is there, as in what ``save_weights``
writes, the config of the net that is asked for says what is counted.

A ``/`` in a layer's name is read as ``_``, as everywhere here (``rewrite``).

``visititems`` follows no soft or external links, so a file can't pull in another file.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json
from tfedge.files.budget import WEIGHTS, Budget

Arrays = dict[str, np.ndarray]
Attributes = dict[str, dict[str, Any]]  # of the groups, by their place in the file

_TRAINING = ("optimizer", "metrics", "compile")  # groups beside the layers'

_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)  # what h5py raises on it
_TOO_LONG = (signal.SIGXCPU, signal.SIGKILL)

_COUNTED = re.compile(r"(.*)/vars/(\d+)")


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


def read(
    data: bytes,
    path: Path,
    config: Mapping[str, Any] | None = None,
    asked: Callable[[], Mapping[str, Any]] = dict,
) -> Arrays:
    """Every array of the layers as ``layer/weight``, or ``layer/0`` in the newer layout.

    They stand in the order of the layers where the file or ``config`` tells it. ``asked`` gives the
    config of the net that the weights are for. Raises ArtifactError, calling the file ``path``,
    when it is damaged or its layers are unnamed.
    """
    names = None if config is None else layer_names(config)
    _try_apart(data, path)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            budget = WEIGHTS.budget(str(path), len(data))
            arrays, attributes = _content(file, path, budget)
        keys = dict(_listed(attributes))
        counted = {place: match for place in arrays if (match := _COUNTED.fullmatch(place))}
        keys |= _named(counted, attributes, names, asked, path)
        keys |= {place: _key(place) for place in arrays if place not in keys}
    except _DAMAGE as error:
        raise ArtifactError(
            path, f"a damaged HDF5 file ({error})", "fetch or save it again"
        ) from error
    found: Arrays = {}
    for place, key in keys.items():
        if place not in arrays or not key:
            continue
        if key in found:
            raise ArtifactError(path, f"holds {key} twice", "save the backbone alone")
        found[key] = arrays[place]
    return found


def _try_apart(data: bytes, path: Path) -> None:
    """Read the file in a process of its own, and throw away what it gives: on some damaged files
    libhdf5 does not end, or crashes. ArtifactError when it does."""
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import try_here; try_here()"],
        input=data,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    if done.returncode < 0:
        what = "reading it does not end" if -done.returncode in _TOO_LONG else "reading it crashes"
        raise ArtifactError(path, f"a damaged HDF5 file ({what})", "fetch or save it again")


def try_here() -> None:
    """Read the file at standard input; the system ends this process when it takes too long. What
    can be said in words is said by who reads it next."""
    data = sys.stdin.buffer.read()
    seconds = 10 + len(data) // 10**7  # of processor time; what is usual takes a tenth of it
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(*_DAMAGE, ArtifactError), h5py.File(io.BytesIO(data), "r") as file:
        _content(file, Path("stdin"), WEIGHTS.budget("stdin", len(data)))


def model_config(path: Path) -> Any:
    """What a file of a whole model says of its layers; None in one of weights alone."""
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    return None if text is None else parse_json(text)


def _content(file: h5py.File, path: Path, budget: Budget) -> tuple[Arrays, Attributes]:
    """All arrays but those of training, and what is written beside the groups."""
    arrays: Arrays = {}
    attributes = {"": _names_beside(file)}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if name.startswith(_TRAINING):
            return
        if not isinstance(item, h5py.Dataset):
            attributes[name] = _names_beside(item)
            return
        if item.is_virtual or item.external:
            raise ArtifactError(path, f"{name} refers to another file", "save the weights again")
        if item.dtype.kind not in "fiub":  # texts share their bytes, and come out larger
            raise ArtifactError(path, f"{name} holds no numbers", "save the weights again")
        budget.spend(size=item.nbytes, entries=1)
        arrays[name] = item[()]

    file.visititems(visit)
    return arrays, attributes


def _names_beside(group: h5py.Group) -> dict[str, Any]:
    wanted = ("name", "layer_names", "weight_names")
    return {key: group.attrs[key] for key in group.attrs if key.startswith(wanted)}


def _texts(attributes: Mapping[str, Any], name: str) -> Iterator[str]:
    """A list of texts; Keras cuts one that is too long into ``name0``, ``name1`` …"""
    parts = (f"{name}{i}" for i in itertools.count())
    cut = itertools.takewhile(lambda part: part in attributes, parts)
    for part in [name] if name in attributes else cut:
        for text in attributes[part]:
            yield text.decode() if isinstance(text, bytes) else str(text)


def _listed(attributes: Attributes) -> Iterator[tuple[str, str]]:
    """Place and ``layer/weight`` of what the classic layout lists, in the order of the layers."""
    root = "model_weights/" if "model_weights" in attributes else ""
    for layer in _texts(attributes[root.rstrip("/")], "layer_names"):
        for weight in _texts(attributes.get(f"{root}{layer}", {}), "weight_names"):
            folder, _, name = weight.rpartition("/")
            yield f"{root}{layer}/{weight}", _classic(folder or layer, name)


def _named(
    counted: Mapping[str, re.Match[str]],
    attributes: Attributes,
    names: dict[str, str] | None,
    asked: Callable[[], Mapping[str, Any]],
    path: Path,
) -> dict[str, str]:
    """``layer/0`` for each place of the newer layout, in the order of the layers."""
    written = {place: attributes[place.rpartition("/")[0]].get("name") for place in counted}
    if names is None:
        names = {} if all(written.values()) else layer_names(asked())
        layers = [found[1] for found in counted.values()]
        if any(layer in names for layer in layers):  # what is none of the net's is a head
            names |= {layer: layer for layer in layers if layer not in names}
    unnamed = [place for place, name in written.items() if not (name or counted[place][1] in names)]
    if unnamed:
        raise ArtifactError(
            path,
            f"the layer of {unnamed[0]} has no name in this file",
            "save the whole model as .keras, or its weights with save_format='h5'",
        )
    order = {layer: number for number, layer in enumerate(names)}
    places: Iterable[str] = sorted(counted, key=lambda p: order.get(counted[p][1], len(order)))
    return {p: f"{_plain(written[p] or names[counted[p][1]])}/{counted[p][2]}" for p in places}


def _plain(layer: Any) -> str:
    return str(layer).replace("/", "_")


def _classic(layer: str, weight: str) -> str:
    weight = weight.split(":")[0]
    # Keras 1, in which some of Keras' own files are still written: block1_conv1_W_1
    if old := re.fullmatch(re.escape(layer) + r"_(W|b)(_\d+)?", weight):
        weight = {"W": "kernel", "b": "bias"}[old[1]]
    return f"{_plain(layer)}/{weight}"


def _key(place: str) -> str:
    """``layer/weight`` by the folders alone; "" for what lies in none."""
    *folders, weight = place.split("/")
    return _classic(folders[-1], weight) if folders else ""
