"""What holds for a backbone, its weights and its images' size: the student's or a teacher's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.backbones import Backbone as Row
from tfedge.catalog.weights import WHEELS
from tfedge.config.spelling import did_you_mean
from tfedge.files.files import few
from tfedge.pipeline import earlier
from tfedge.pipeline.foreign import unread
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import WEIGHT_NAMES, Backbone, Pipeline

WEIGHT_FILES = (".h5", ".keras", ".npz")


def problems(given: Backbone, key: str, size: int, size_key: str) -> Iterator[Problem]:
    """What is wrong with the backbone that stands at ``key``, for images of ``size``."""
    row = BACKBONES.get(given.name)
    if row is None:
        what = f"no backbone {given.name!r}{did_you_mean(given.name, BACKBONES)}"
        yield Problem(f"{key}.name", what)
        return
    if given.alpha not in row.alphas:
        what = f"{row.name} comes in {numbers(row.alphas)}, got {given.alpha:g}"
        yield Problem(f"{key}.alpha", what, (f"{key}.name",))
    if size < row.min_size:
        what = f"{row.name} needs at least {row.min_size}, got {size}"
        yield Problem(size_key, what, (f"{key}.name",))
    for text in _weights(given.weights, given.alpha, row):
        yield Problem(f"{key}.weights", text, (f"{key}.name",))
    if given.normalization is not None and not _from_file(given.weights):
        what = f"{given.weights} weights have one of their own: it is for weights from a file"
        yield Problem(f"{key}.normalization", what, (f"{key}.weights",))


def notes(given: Backbone, key: str, size: int, size_key: str) -> list[str]:
    """What is allowed, but should be known before the run starts."""
    said = []
    wheel = WHEELS.get((given.name, given.alpha)) if given.weights == "wheel" else None
    if wheel is not None and not wheel.exact(size):
        said.append(
            f"{size_key}: {size}: these weights come from PyTorch, whose padding agrees with "
            f"Keras' at 32k+{wheel.remainder} only; {wheel.nearest_exact(size)} is the nearest"
        )
    if given.weights == "none":
        said.append(f"{key}.weights: none: the base starts from random weights, nothing learned")
    return said


def _from_file(weights: str) -> bool:
    return weights not in WEIGHT_NAMES and not earlier.is_run(Path(weights))


def class_order(pipeline: Pipeline) -> Iterator[str]:
    """In which order the classes stand of a run that goes on from another, for people."""
    run, data = pipeline.backbone.run, pipeline.data
    if run is None or data.classes is not None:
        return
    if data.earlier:
        yield (
            f"classes: those of {run} first, in their order there ({few(data.earlier)}; "
            f"{len(data.earlier)} in all), new ones after; data.classes gives another order"
        )
    else:
        yield (
            f"note: {run} has no {earlier.INDEX}, which would tell the order of its classes: they "
            "are sorted by name, unless data.classes gives their order"
        )


def numbers(found: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in found)


def _weights(weights: str, alpha: float, row: Row) -> Iterator[str]:
    if weights == "none":
        return
    named = [name for name in WEIGHT_NAMES if name in (*row.weights, "none")]
    instead = f"use {' or '.join(named)}, or a file ({' '.join(WEIGHT_FILES)})"
    if weights in WEIGHT_NAMES:
        if weights not in row.weights:
            yield f"there are no {weights} weights for {row.name}: {instead}"
        elif weights == "wheel" and alpha in row.alphas and alpha not in row.wheel_alphas:
            have = numbers(row.wheel_alphas)
            yield f"the wheel has {row.name} at alpha {have} only, got {alpha:g}: {instead}"
        return
    path = Path(weights)
    if foreign := unread(path):
        yield foreign
        return
    if earlier.is_run(path):
        if lacking := earlier.missing(path):
            yield f"{path}: no directory of a run that came to finetune: no {', '.join(lacking)}"
        return
    if path.suffix.lower() not in WEIGHT_FILES:
        near = did_you_mean(path.name, (*named, *(f"a {suffix} file" for suffix in WEIGHT_FILES)))
        yield f"{path.name!r} is no set of weights{near}"
    elif not path.is_file():
        yield f"no such file: {path}"
