"""One cell of the table: a set, a backbone, a split and a column, run and measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import accuracy_logistic
import accuracy_run
import numpy as np
from accuracy_columns import COLUMNS, pipeline
from accuracy_pictures import HARDER, Photos, scores
from accuracy_results import Key
from accuracy_run import Run
from accuracy_scores import calibration_error, divergence, top1
from accuracy_sets import SETS

from tfedge.tasks.image_classification.work import Classification


@dataclass(frozen=True)
class Place:
    """Where a cell is made. ``work`` is thrown away afterwards; ``aeq`` is a Python."""

    key: Key
    photos: Path
    work: Path
    cache: Path
    aeq: Path | None = None

    @property
    def size(self) -> int:
        return SETS[self.key.set].sizes[self.key.backbone]

    def pipeline(self) -> dict[str, Any]:
        key = self.key
        return pipeline(key.column, self.photos, key.backbone, self.size, key.split)


def measured(place: Place) -> dict[str, Any]:
    """What is recorded of a cell, without when and where. Raises accuracy_run.Failed."""
    made = accuracy_run.run(place.pipeline(), place.work, place.cache)
    photos = Photos.of(made.folder, place.photos, place.cache, place.size)
    measure = {"tfedge": _shipped, "aeq": _by_aeq, "logistic": _baseline}
    found = measure[COLUMNS[place.key.column].maker](place, made, photos)
    versions = made.read("run.json")["versions"] | found.pop("versions", {})
    counts = {f"n_{split}": len(photos.index.rows_of(split)) for split in ("train", "val", "test")}
    return {**counts, **found, "versions": versions}


def _shipped(place: Place, made: Run, photos: Photos) -> dict[str, Any]:
    """The file that tfedge ships, beside the float model it was made of."""
    plain = made.plain if COLUMNS[place.key.column].plain else None
    recipe = made.read("convert/model.json")["recipe"]
    return {"recipe": recipe, **_figures(made.shipped, plain, photos), "seconds": made.seconds()}


def _by_aeq(place: Place, made: Run, photos: Photos) -> dict[str, Any]:
    """What ai-edge-quantizer makes of the float model of a run."""
    if place.aeq is None:
        raise accuracy_run.Failed("no Python with ai-edge-quantizer")
    pixels, target = place.work / "calibration.npy", place.work / "aeq.tflite"
    np.save(pixels, photos.calibration(place.key.split))
    plain = accuracy_run.reshaped("scores", made, place.work / "scores.tflite")
    said = accuracy_run.by_aeq(place.aeq, plain, pixels, target)
    return {
        **_figures(target, made.plain, photos),
        "seconds": {"finetune": made.seconds()["finetune"], "quantize": said["seconds"]},
        "versions": {"ai-edge-quantizer": said["version"]},
    }


def _baseline(place: Place, made: Run, photos: Photos) -> dict[str, Any]:
    """Logistic regression on what the head sees."""
    body = accuracy_run.reshaped("features", made, place.work / "features.tflite")
    train, test = (scores(body, photos.pixels(split)) for split in ("train", "test"))
    labels = photos.labels("train"), photos.labels("test")
    found = accuracy_logistic.baseline(train, labels[0], test, labels[1], place.key.split)
    return {**found, "versions": {"scikit-learn": version("scikit-learn")}}


def _figures(file: Path, plain: Path | None, photos: Photos) -> dict[str, Any]:
    """A file on the test images; ``plain``: the float model that it was made of."""
    pixels, labels = photos.pixels("test"), photos.labels("test")
    said = scores(file, pixels)
    content = file.read_bytes()
    found = {
        "top1": top1(said, labels),
        "ece": calibration_error(said, labels),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    for how in HARDER:
        images, truth = photos.harder(how)
        found |= {how: top1(scores(file, images), truth), "n_harder": len(truth)}
    if plain is not None:
        exact = scores(plain, pixels)
        found["plain_top1"] = top1(exact, labels)
        found["agreement"] = float(Classification().same(exact, said).mean())
        found["kl"] = divergence(exact, said)
        found["kl_1e-7"] = divergence(exact, said, 1e-7)
    return found
