"""Images as a model's input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Tuple

import numpy as np

from tfedge.benchmark.script.runtime import Model
from tfedge.portable.images import decode

Levels = Tuple[int, int]  # of 16 bits a channel: what becomes black, what white
FITS = ("crop", "stretch", "pad")
MOST_IMAGES = 100  # kept in memory for --pictures


def manifest_fit(model: str) -> str | None:
    """How an image becomes square for this model, by the MANIFEST.json beside it that names it.

    None without one; ValueError when there is such a file and it doesn't say.
    """
    for file, given in _manifest_input(model, "--fit"):
        fit = given.get("fit")
        if fit not in FITS:
            raise ValueError(f"{file}: input.fit is {fit!r}, not {', '.join(FITS)}: give --fit")
        return str(fit)
    return None


def manifest_levels(model: str) -> Levels | None:
    """Which levels of images of 16 bits become black and white, by the same file.

    None where it says none; ValueError as above.
    """
    for file, given in _manifest_input(model, "--levels"):
        try:
            return checked_levels(given["levels"]) if "levels" in given else None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: input.levels: {error}: give --levels") from error
    return None


def checked_levels(given: Any) -> Levels:
    """Two levels of 16 bits, the darker one first. TypeError or ValueError for anything else."""
    black, white = (int(level) for level in given)
    if not 0 <= black < white <= 65535:
        raise ValueError(f"black below white, 0 to 65535, got {black},{white}")
    return black, white


def _manifest_input(model: str, option: str) -> Iterator[tuple[Path, dict]]:
    """The nearest MANIFEST.json that names the model, and what it says of the input."""
    path = Path(model).absolute()
    for folder in (path.parent, path.parent.parent):  # the latter: of a drop with assets/
        file = folder / "MANIFEST.json"
        if not file.is_file():
            continue
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: no JSON ({error}): give {option}") from error
        if path.relative_to(folder).as_posix() in models_of(manifest):
            given = manifest.get("input")
            yield file, given if isinstance(given, dict) else {}
            return


def models_of(manifest: Any) -> set:
    """The files that a manifest names, and what is compiled after a drop was made."""
    if not isinstance(manifest, dict):
        return set()
    coral = manifest.get("coral")
    names = {manifest.get("model"), *(manifest.get("files") or ())}
    return names | {coral.get("file")} if isinstance(coral, dict) else names


def image_input(model: Model, path: Path, fit: str, levels: Levels | None = None) -> Any:
    """An image as the model takes it, decoded as in training. ValueError names the file."""
    shape = [int(side) for side in model.inputs[0]["shape"]]
    kind = model.inputs[0]["dtype"]
    if len(model.inputs) != 1 or len(shape) != 4 or shape != [1, shape[1], shape[1], 3]:
        raise ValueError(
            f"images are fed to one square RGB input, [1, size, size, 3]; this model takes {shape}"
        )
    if kind not in (np.uint8, np.int8):
        raise ValueError(f"images are 8 bits a value, the model takes {np.dtype(kind).name}")
    pixels = decode(path, shape[1], fit, levels)[None]
    return pixels if kind == np.uint8 else (pixels ^ 128).view(np.int8)  # int8: 128 less


def image_inputs(model: Model, folder: str, fit: str, levels: Levels | None = None) -> list:
    """The first images of a folder, decoded. OSError or ValueError, with the file's name."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    if not files:
        raise ValueError(f"{folder}: no images")
    return [image_input(model, path, fit, levels) for path in files[:MOST_IMAGES]]
