"""How images become square for a model, told by where it lies: in a drop, or in a run directory."""

from __future__ import annotations

import json
from pathlib import Path

from tfedge.benchmark.script.accuracy import FITS, manifest_fit
from tfedge.errors import ArtifactError

_RESOLVED = "resolved.json"  # of a run directory: its pipeline with all defaults
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


def _of_run(model: Path) -> str | None:
    for folder in list(model.absolute().parents)[:_DEEPEST]:
        file = folder / _RESOLVED
        if not file.is_file():
            continue
        try:
            fit = json.loads(file.read_text(encoding="utf-8"))["data"]["fit"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                file, f"tells no data.fit: {error}", "say how with --fit"
            ) from error
        if fit not in FITS:
            raise ArtifactError(file, f"data.fit is {fit!r}", "say how with --fit")
        return str(fit)
    return None
