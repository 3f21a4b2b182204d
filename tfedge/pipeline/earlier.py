"""An earlier run that another one goes on from: ``backbone.weights`` with its directory."""

from __future__ import annotations

from pathlib import Path

from tfedge.files.artifact import sha256_file, sha256_json

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
