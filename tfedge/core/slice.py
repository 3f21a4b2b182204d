"""What a stage may read of the pipeline: the keys that its row declares, and nothing else.

A stage's key hashes what its row declares. Were it to read more, a cached result could be that of
another pipeline; so any other read is an error, and not of the user's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from tfedge.core import keys
from tfedge.core.context import Context
from tfedge.core.stages import Stage, of_task
from tfedge.files.progress import NoProgress, Progress
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.table import task_of


class UndeclaredRead(RuntimeError):
    """A stage has read a key that its row does not declare."""


class Slice:
    """A section of the pipeline, of which only some keys can be read.

    It stands for the section that it is a part of: the same attributes with the same values. A key
    that is declared as a whole is the section's own value; of one that is declared in part there is
    a slice again, or None where the pipeline has no such section.
    """

    def __init__(
        self, section: BaseModel, stage: str, readable: Collection[str], without: Collection[str]
    ) -> None:
        """``readable`` and ``without`` are dotted keys, seen from ``section``; the latter are those
        below a readable one that can't be read."""
        self._section, self._stage = section, stage
        self._readable, self._without = frozenset(readable), frozenset(without)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copy, pickle and inspect ask everything for
            raise AttributeError(name)
        inside, holes = _below(name, self._readable), _below(name, self._without)
        whole = name in self._readable
        if name in self._without or not (whole or inside):
            raise UndeclaredRead(f"stage {self._stage} reads {name} of {type(self._section)}")
        value = getattr(self._section, name)
        if not isinstance(value, BaseModel) or (whole and not holes):
            return value
        every = {*inside, *type(value).model_fields} if whole else inside
        return Slice(value, self._stage, every, holes)

    def __repr__(self) -> str:
        return f"<slice of {type(self._section).__name__} for stage {self._stage}>"


def context_of(
    stage: Stage,
    pipeline: Pipeline,
    inputs: Mapping[str, Path],
    out: Path,
    cache: Path,
    data_root: Path,
    progress: Progress | None = None,
    run_dir: Path | None = None,
) -> Context:
    """A stage's view of a run; see ``Context``."""
    config = keys.config_of(stage, keys.settings(pipeline))
    part = sliced(pipeline, stage)
    return Context(part, config, inputs, out, cache, data_root, progress or NoProgress(), run_dir)


def sliced(pipeline: Pipeline, stage: Stage) -> Pipeline:
    """What a stage may read of a pipeline, in its place."""
    also = [name for name in stage.unkeyed if "/" not in name]
    config = of_task(stage, task_of(pipeline.task)).config
    part = Slice(pipeline, stage.name, ("task", *config, *also), stage.without)
    return cast(Pipeline, part)


def _below(name: str, keys: Collection[str]) -> set[str]:
    """The rest of the dotted keys that begin with a name."""
    return {key[len(name) + 1 :] for key in keys if key.startswith(f"{name}.")}
