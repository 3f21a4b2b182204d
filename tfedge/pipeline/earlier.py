"""An earlier run that another one goes on from: ``backbone.weights`` with its directory."""

from __future__ import annotations

from pathlib import Path

from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json, sha256_file, sha256_json

INDEX = "data/index.json"
MODEL, BASE = "finetune/model.npz", "backbone/base.json"  # its float model, and which net that is


def is_run(path: Path) -> bool:
    """Whether this is a folder, which for weights can only be a run's."""
    return path.is_dir()


def missing(run: Path) -> list[str]:
    """What a run lacks to go on from it."""
    return [name for name in (MODEL, BASE) if not (run / name).is_file()]


def digest(run: Path) -> str:
    """SHA-256 over what is read of a run. OSError."""
    return sha256_json({name: sha256_file(run / name) for name in (MODEL, BASE)})


def classes(run: Path) -> tuple[str, ...]:
    """The classes of a run in their order; none where its folder does not hold the index.

    ArtifactError when that is damaged.
    """
    index = run / INDEX
    if not index.is_file():
        return ()
    found = read_json(index)
    names = found.get("classes") if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ArtifactError(index, "no index of examples", "run that pipeline again")
    return tuple(names)
