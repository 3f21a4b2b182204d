"""How images become a model's input, and which classes it tells apart: told by where it lies, in a
drop or in a run directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfedge.benchmark.script.image_inputs import FITS, checked_levels, manifest_fit, models_of
from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json

RESOLVED = "resolved.json"  # of a run directory: its pipeline with all defaults
INDEX = "data/index.json"  # of a run directory, too
_MANIFEST = "MANIFEST.json"  # of a drop
_DEEPEST = 3  # folders between a run directory and a model in it


def fit_of(model: Path) -> str | None:
    """What the MANIFEST.json beside it says, else its run directory; None: neither is there.

    ArtifactError when one is there and can't be read.
    """
    try:
        found = manifest_fit(str(model))
    except ValueError as error:
        raise ArtifactError(model, str(error), "say how with --fit") from error
    return found or _of_run(model)


def classes_of(model: Path) -> tuple[str, ...] | None:
    """The classes in the model's order, by the MANIFEST.json that names it or the index of its
    run's images; None: neither is there. ArtifactError when one is there and can't be read."""
    for file, told in _beside(model, INDEX, "give labels"):
        try:
            return tuple(told["classes"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(file, f"tells no classes: {error}", "give labels") from error
    return None


def levels_of(model: Path) -> tuple[int, int] | None:
    """The levels of images of 16 bits that become 0 and 255, by the MANIFEST.json that names it or
    its run's pipeline; None: the upper 8 bits. ArtifactError as above."""
    for file, told in _beside(model, RESOLVED, ""):
        try:
            section, key = ("input", "levels") if file.name == _MANIFEST else ("data", "range")
            found = told[section].get(key)
            return None if found is None else checked_levels(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(file, f"tells no levels: {error}") from error
    return None


def _beside(model: Path, of_run: str, hint: str) -> Iterator[tuple[Path, Any]]:
    """The MANIFEST.json that names a model and this file of its run directory, from the nearest
    folder upwards, each with what is in it."""
    for folder in list(model.absolute().parents)[:_DEEPEST]:
        for file in (folder / _MANIFEST, folder / of_run):
            if not file.is_file():
                continue
            try:
                told = parse_json(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ArtifactError(file, f"no JSON: {error}", hint) from error
            name = model.absolute().relative_to(folder).as_posix()
            if file.name != _MANIFEST or name in models_of(told):
                yield file, told


def _of_run(model: Path) -> str | None:
    for folder in list(model.absolute().parents)[:_DEEPEST]:
        file = folder / RESOLVED
        if not file.is_file():
            continue
        try:
            fit = parse_json(file.read_text(encoding="utf-8"))["data"]["fit"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                file, f"tells no data.fit: {error}", "say how with --fit"
            ) from error
        if fit not in FITS:
            raise ArtifactError(file, f"data.fit is {fit!r}", "say how with --fit")
        return str(fit)
    return None
