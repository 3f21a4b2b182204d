"""What holds between keys, and what the catalogue allows: everything a schema can't say.

Each rule looks at one matter and yields its problems; all rules are asked, so a person reads all
problems at once. Reads no file but the catalogue, and never imports TensorFlow.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import PurePosixPath

from tfedge.catalog.recipes import AUTO, OFF, PRUNING, QUANTIZING
from tfedge.config.spelling import closest, did_you_mean
from tfedge.data.groups import expression_problem, is_expression
from tfedge.devices.schema import device_problems
from tfedge.errors import ConfigError
from tfedge.pipeline import distillation, packages, pruning_rules
from tfedge.pipeline.keep import keep_notes, keep_problems, known_layers
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.recipes import head_kind, is_quantized
from tfedge.pipeline.schema import HELD_OUT, Cluster, Pipeline, Prune
from tfedge.pipeline.unfreeze import (
    MAX_SHARE,
    block_name,
    blocks_of,
    first_trained,
    part,
    planned_clusters,
    planned_sparsity,
)
from tfedge.tasks.table import TASKS, task_of

SAMPLE = "sample:"
SAMPLES = ("digits", "messages", "scenes")
PRUNE_RECIPES = (*PRUNING,)
QUANTIZE_RECIPES = (*QUANTIZING, AUTO, OFF)
TARGETS = ("linux", "android", "coral")
# Keys of finetune that a head trained by SGD reads: it alone, and blocks that train, too.
_OF_SGD_HEAD = ("epochs", "learning_rate", "dropout")
_OF_SGD = (*_OF_SGD_HEAD, "schedule", "warmup", "optimizer", "batch_size", "patience")


def check(pipeline: Pipeline) -> list[Problem]:
    """Every problem of a pipeline whose keys and types are right."""
    return [problem for rule in _RULES for problem in rule(pipeline)]


def notes(pipeline: Pipeline) -> list[str]:
    """What is allowed, but should be known before the run starts."""
    coral = pipeline.package is not None and "coral" in pipeline.package.targets
    return [
        *task_of(pipeline.task).notes(pipeline),
        *_head_notes(pipeline),
        *pruning_rules.structure_notes(pipeline),
        *keep_notes(pipeline.quantize, coral),
        *_golden_notes(pipeline),
    ]


def _golden_notes(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.package is not None and pipeline.package.golden == HELD_OUT:
        yield "package.golden: held_out puts examples of yours into every drop, as they are"


def _head_notes(pipeline: Pipeline) -> Iterator[str]:
    """Keys that say how a head is trained where it is fitted instead."""
    sections = [("finetune", pipeline.finetune), ("distill", pipeline.distill)]
    for name, section in sections:
        if section is None or head_kind(section, pipeline.data.changes_examples) != "logistic":
            continue
        keys = _OF_SGD if section.unfreeze == "none" else _OF_SGD_HEAD
        fields = type(section).model_fields
        idle = [key for key in keys if getattr(section, key) != fields[key].default]
        if idle:
            listed = ", ".join(f"{name}.{key}" for key in idle)
            yield f"{listed}: without effect on a head that is fitted ({name}.head: sgd trains it)"


def _data(pipeline: Pipeline) -> Iterator[Problem]:
    data = pipeline.data
    if data.path is None and data.download is None:
        what = f"needs path (a folder, a .csv, or {data.kind.sample}) or download"
        yield Problem("data", what, ("data.path", "data.download"))
    if data.path is not None and data.download is not None:
        yield Problem("data.download", "give path or download, not both", ("data.path",))
    if data.path is not None and data.path.startswith(SAMPLE):
        sample = data.path.removeprefix(SAMPLE)
        if sample not in SAMPLES:
            yield Problem("data.path", f"no sample {sample!r}{did_you_mean(sample, SAMPLES)}")
    elif data.path is not None and "://" in data.path:
        yield Problem("data.path", "is an address: give it as data.download (url, sha256)")
    if data.download is not None:
        folder = PurePosixPath(data.download.folder)
        if folder.is_absolute() or ".." in folder.parts:
            what = f"must be a folder inside the archive, got {data.download.folder!r}"
            yield Problem("data.download.folder", what)
    if data.split is not None and data.split.val + data.split.test >= 1.0:
        what = f"{data.split.val:g} for val and {data.split.test:g} for test leave none to train on"
        yield Problem("data.split", what)
    if data.classes is not None and len(set(map(str, data.classes))) < len(data.classes):
        yield Problem("data.classes", "names a class twice")
    problem = data.group and is_expression(data.group) and expression_problem(data.group)
    if problem:
        yield Problem("data.group", problem)


def _task(pipeline: Pipeline) -> Iterator[Problem]:
    if pipeline.task not in TASKS:
        what = f"no task {pipeline.task!r}{did_you_mean(pipeline.task, TASKS)}"
        yield Problem("task", what)
        return
    yield from task_of(pipeline.task).rules(pipeline)


def _recipes(pipeline: Pipeline) -> Iterator[Problem]:
    prune, quantize = pipeline.prune, pipeline.quantize
    chosen = [("prune", prune.recipe, PRUNE_RECIPES)] if prune else []
    chosen += [("quantize", quantize.recipe, QUANTIZE_RECIPES)] if quantize else []
    for section, recipe, known in chosen:
        if recipe not in known:
            why = type(getattr(pipeline, section)).refusal("recipe", recipe)
            what = f"no recipe {recipe!r}{did_you_mean(recipe, known)}{why}"
            yield Problem(f"{section}.recipe", what)
    for section in ("finetune", "distill", "prune", "cluster", "quantize"):
        training = getattr(pipeline, section)
        if training is not None and training.weight_decay and training.optimizer != "adamw":
            what = f"only the optimizer adamw decays weights, {training.optimizer} does not"
            yield Problem(f"{section}.weight_decay", what, (f"{section}.optimizer",))


def _keep(pipeline: Pipeline) -> Iterator[Problem]:
    if pipeline.quantize is not None:
        names = known_layers(pipeline) if _known_net(pipeline) else None
        yield from keep_problems(pipeline.quantize, names)


def _unfreeze(pipeline: Pipeline) -> Iterator[Problem]:
    if not _known_net(pipeline):
        return
    for stage in ("finetune", "prune", "cluster", "quantize"):
        section = getattr(pipeline, stage)
        if section is None:
            continue
        try:
            if section.unfreeze != "auto" or stage == "finetune":
                first_trained(pipeline, stage)  # type: ignore[arg-type]
        except ConfigError as error:
            yield Problem(f"{stage}.unfreeze", error.message, ("backbone",))


def _sparsity(pipeline: Pipeline) -> Iterator[Problem]:
    prune = pipeline.prune
    if prune is None or not _known_net(pipeline) or any(_unfreeze(pipeline)):
        return
    uses = ("backbone", "prune", "finetune.unfreeze")
    named = list(_named_layers(pipeline, "prune", prune, uses))
    yield from named
    unmatched = any(problem.key != "prune.also" for problem in named)
    if unmatched or prune.sparsity_m_by_n is not None:  # m by n: see pruning_rules.structure
        return
    total, trained = part(pipeline, first_trained(pipeline, "prune"))
    share = prune.sparsity * total / trained if trained else 0.0
    if trained and share <= MAX_SHARE:
        return
    what = f"{prune.sparsity:g} of the model's {total:,} prunable weights"
    if trained:
        layers = len(planned_sparsity(pipeline))
        most = int(MAX_SHARE * trained / total * 100) / 100
        what += (
            f" would need {share:.0%} zeros in each of the {layers} layers that train (from "
            f"{block_name(pipeline, 'prune')} up), more than {MAX_SHARE:.0%}: lower it to {most:g}"
            " or train more (prune.unfreeze: auto, or a lower block)"
        )
    else:
        what += " can't become zero, none of them trains: set prune.unfreeze: auto, or a block"
    yield Problem("prune.sparsity", what, uses)


def _structure(pipeline: Pipeline) -> Iterator[Problem]:
    found = list(pruning_rules.xnnpack(pipeline))
    if pipeline.prune is not None:
        found += pruning_rules.structure_keys(pipeline.prune)
    if _known_net(pipeline) and not any(_unfreeze(pipeline)):
        found += pruning_rules.xnnpack_trains(pipeline)
        found += pruning_rules.structure(pipeline)
    yield from found


def _named_layers(
    pipeline: Pipeline, stage: str, section: Prune | Cluster, uses: tuple[str, ...]
) -> Iterator[Problem]:
    """What is wrong with ``layers`` and ``also``."""
    if section.layers and section.also:
        what = f"adds to the rule that {stage}.layers replaces: name the layers there"
        yield Problem(f"{stage}.also", what, uses)
    kernels = [kernel.layer for block in blocks_of(pipeline) for kernel in block.kernels]
    for index, pattern in enumerate(section.layers):
        if not fnmatch.filter(kernels, pattern):
            near = closest(pattern, kernels)
            what = f"no kernel is called {pattern!r}" + (f", did you mean {near}?" if near else "")
            yield Problem(f"{stage}.layers[{index}]", what, uses)


def _clusters(pipeline: Pipeline) -> Iterator[Problem]:
    cluster = pipeline.cluster
    if cluster is None or not _known_net(pipeline) or any(_unfreeze(pipeline)):
        return
    uses = ("backbone", "cluster", "prune", "finetune.unfreeze")
    if pipeline.prune is not None and cluster.clusters < 3:
        what = "one of the values is the zero of pruning: it takes at least 3 with a prune section"
        yield Problem("cluster.clusters", f"{what}, got {cluster.clusters}", uses)
    named = list(_named_layers(pipeline, "cluster", cluster, uses))
    yield from named
    head = "head" in cluster.also and not cluster.layers
    if not named and not head and not planned_clusters(pipeline):
        what = "chooses no kernel of the part that trains"
        where = f"(from {block_name(pipeline, 'cluster') or 'the head'} up)"
        remedy = "set cluster.unfreeze: auto, or a block below them"
        yield Problem("cluster", f"{what} {where}: {remedy}", uses)


def _gates(pipeline: Pipeline) -> Iterator[Problem]:
    if pipeline.evaluate is None:
        return
    gates = pipeline.evaluate.gates
    first = pipeline.benchmark.measured_on[:1] if pipeline.benchmark else ()
    for name in ("max_latency", "min_speedup"):
        gate = f"evaluate.gates.{name}"
        if getattr(gates, name) is None:
            continue
        if pipeline.benchmark is None:
            yield Problem(gate, "nothing measures it: add a benchmark section", ("benchmark",))
        if first and first[0].optional:
            what = f"{first[0].name}: {gate} holds on the first device, so it can't be optional: "
            yield Problem("benchmark.devices[0]", f"{what}put another one first", (gate,))
    own = task_of(pipeline.task).may_lose if pipeline.task in TASKS else ()
    for name in ("max_accuracy_drop", "min_speedup", *own):
        if getattr(gates, name) is not None and not is_quantized(pipeline):
            what = "there is no int8 model to compare with the float one: add a quantize section"
            yield Problem(f"evaluate.gates.{name}", what, ("quantize",))


def _lists(pipeline: Pipeline) -> Iterator[Problem]:
    if pipeline.benchmark is not None:
        yield from _distinct("benchmark.threads", pipeline.benchmark.threads)
        devices = pipeline.benchmark.measured_on
        yield from _distinct("benchmark.devices", tuple(device.name for device in devices))
        for index, device in enumerate(devices):
            for inner, text in device_problems(device):
                yield Problem(f"benchmark.devices[{index}].{inner}", text)
    if pipeline.package is None:
        return
    yield from _distinct("package.targets", pipeline.package.targets)
    for index, target in enumerate(pipeline.package.targets):
        key = f"package.targets[{index}]"
        if target not in TARGETS:
            why = pipeline.package.refusal("targets", target)
            yield Problem(key, f"no target {target!r}{did_you_mean(target, TARGETS)}{why}")
        elif pipeline.task in TASKS and target not in task_of(pipeline.task).drops:
            yield Problem(key, f"the task {pipeline.task} has no drop for {target}", ("task",))
        elif target == "coral" and not is_quantized(pipeline):
            what = "an Edge TPU takes 8-bit models only: give the pipeline a quantize section"
            yield Problem(key, what, ("quantize",))


def _android(pipeline: Pipeline) -> Iterator[Problem]:
    if pipeline.package is not None:
        for word in packages.refused(pipeline.package.android.package):
            what = f"{word!r} is a word of Java, which no part of a package may be"
            yield Problem("package.android.package", what)


def _distinct(key: str, items: tuple[object, ...]) -> Iterator[Problem]:
    if not items:
        yield Problem(key, "the list is empty: name at least one, or leave the key out")
    if len(set(items)) < len(items):
        yield Problem(key, "something is named twice")


def _known_net(pipeline: Pipeline) -> bool:
    return pipeline.backbone.known


_RULES = (
    *(_data, _task, _recipes, distillation.problems, _keep, _unfreeze, _sparsity, _clusters),
    *(_structure, _gates, _lists, _android),
)
