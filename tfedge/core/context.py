"""What the engine hands to a stage function ``run(ctx)``, and to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfedge.files.progress import NoProgress, Progress
from tfedge.pipeline.schema import Pipeline
from tfedge.pipeline.unfreeze import blocks_of


@dataclass(frozen=True)
class Origin:
    """What a report may look at beside the run directory: the pipeline as it was resolved, where
    its examples lie, and the cache's folder; None: a report that shows no examples."""

    pipeline: Pipeline
    data_root: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class Context:
    """One stage's view of the run.

    ``pipeline`` is a slice of it: what the stage's row declares can be read, anything else raises.
    ``config`` is what the row declares and the stage's key hashes, by dotted key, ready for JSON.
    ``inputs`` maps ``"stage/file"`` to the sealed file of an earlier stage; ``out`` is an empty
    folder that the stage fills with the outputs its row declares. ``data_root`` is where the
    examples lie (index.json holds paths relative to it). ``cache`` is the cache's own folder:
    content-addressed record stores of inputs and features live below ``cache/"store"``.
    ``run_dir`` is None only in tests.
    """

    pipeline: Pipeline
    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    cache: Path
    data_root: Path
    progress: Progress = field(default_factory=NoProgress)
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
