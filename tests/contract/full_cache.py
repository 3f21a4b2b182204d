"""A cache that holds every stage of a pipeline: nothing in it was computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfedge.core import keys
from tfedge.core.cache import StageCache, record_of
from tfedge.core.plan import inputs_of, select
from tfedge.core.stages import function_of
from tfedge.pipeline.load import load


def fill(pipeline: Path, cache: Path) -> int:
    """Seal an entry for each stage that is cached; how many."""
    loaded = load(pipeline)
    stages = select(loaded.pipeline).stages
    settings, store = keys.settings(loaded.pipeline), StageCache(cache)
    made: dict[str, Mapping[str, str]] = {}
    for stage in (one for one in stages if one.cacheable):
        section = getattr(loaded.pipeline, stage.name, None)
        source = function_of(stage.probe)(section, cache, hash_new=True) if stage.probe else ""
        material = keys.material(stage, settings, inputs_of(stage, made, stages), source)
        folder = store.temporary / stage.name
        folder.mkdir(parents=True)
        for name in stage.outputs:
            (folder / name).write_text(f"{stage.name}/{name}")
        key = keys.key_of(material)
        record = record_of(stage, key, folder, seconds=1, material=material)
        made[stage.name] = store.seal(folder, record).digests
    return len(made)
