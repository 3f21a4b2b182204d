"""What the engine hands to a stage function ``run(ctx)``, and the progress it reports on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tfedge.catalog.unfreeze import blocks_of
from tfedge.config.schema import Pipeline


class Progress(Protocol):
    """Where long work says how far it is. Drawn by ``core/progress.py``; silent in unit tests."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        """``done`` of ``total`` (pictures, steps …); rate and time left are worked out from it."""

    def note(self, text: str) -> None:
        """One line the user should read: a decision, a warning, a measured number."""


class Silent:
    """Progress that says nothing."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        return

    def note(self, text: str) -> None:
        return


@dataclass(frozen=True)
class Context:
    """One stage's view of the run.

    ``pipeline`` is a slice of it: what the stage's row declares can be read, anything else raises.
    ``config`` is what the row declares and the stage's key hashes, by dotted key, ready for JSON.
    ``inputs`` maps ``"stage/file"`` to the sealed file of an earlier stage; ``out`` is an empty
    folder that the stage fills with the outputs its row declares. ``data_root`` is where the
    pictures lie (index.json holds paths relative to it). ``cache`` is the cache's own folder:
    content-addressed record stores of pixels and features live below ``cache/"store"``.
    ``run_dir`` is None only in tests.
    """

    pipeline: Pipeline
    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    cache: Path
    data_root: Path
    progress: Progress = field(default_factory=Silent)
    run_dir: Path | None = None

    def has(self, name: str) -> bool:
        """Whether an earlier stage of this run made ``stage/file``."""
        return name in self.inputs

    def first_trained(self, stage: str) -> int | None:
        """Index of the lowest block that a stage trains (``lowest``: that any does); None: only the
        head trains."""
        name = self.config[f"trains.{stage}"]
        names = [block.name for block in blocks_of(self.pipeline)]
        return None if name is None else names.index(name)
