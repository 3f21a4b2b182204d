"""The stage table: flat rows, readable without importing a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tfedge.catalog.recipes import OFF
from tfedge.files.imports import imported
from tfedge.pipeline.schema import Pipeline, Transfer
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Task


@dataclass(frozen=True)
class Stage:
    """One row.

    ``inputs`` are ``"stage/file"`` of earlier stages (those of a stage that does not run in this
    pipeline are left out); ``config`` the dotted keys of the resolved pipeline that it may read and
    that its key hashes (and what follows from them, as ``trains.…`` or ``device``: see
    ``core/keys.py``), ``without`` those below them that it may not; ``libs`` the distributions
    whose versions it hashes, ``also`` others that it imports; ``version`` rises when its code
    changes what it writes.
    It always writes its ``outputs``, and only in some pipelines its ``optional_outputs``: whoever
    reads one of these asks ``ctx.has`` first.

    ``probe`` is a function (section, cache, hash_new, progress) that gives a digest of what the
    stage reads from outside the cache, which its key hashes, or None when that can't be known
    without work that ``hash_new`` forbids. ``needs`` is a function (section) that raises
    MissingDependency for what must be installed beside the libraries; it is asked before anything
    runs, and by ``check`` where it only looks at this machine (``needs_are_here``). ``again`` is a
    function (folder) that gives the lines to be said again when the outputs come from the cache.
    ``root`` is a function (section, cache) that says where the examples lie. ``section`` is the
    config section, or the dotted key, that switches it on;
    where that key says "auto", ``auto`` is the section that must be there too.

    A key or library ``task.…`` stands for those of the pipeline's task: see ``of_task``.
    """

    name: str
    function: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    optional_outputs: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    libs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    version: int = 1
    cacheable: bool = True
    section: str = ""  # what switches it on; "" runs always
    auto: str = ""
    # Inputs, and dotted keys below ``config``, that it reads, but whose change is no reason to run.
    unkeyed: tuple[str, ...] = ()
    probe: str = ""
    needs: str = ""
    needs_are_here: bool = False
    root: str = ""
    again: str = ""


_REPORT = ("jinja2", "markdown-it-py", "markupsafe")  # what every run ends with
_TF = ("tensorflow", "tf-keras", "numpy", "ai-edge-litert")
_TFMOT = (*_TF, "tensorflow-model-optimization")
# What else the heads of tasks import, whatever a stage makes of them.
_HEADS = ("h5py", "safetensors", "scikit-learn", "threadpoolctl")

STAGES: tuple[Stage, ...] = (
    Stage(
        "data",
        "tfedge.stages.data:run",
        outputs=("index.json", "audit.json"),
        config=("data", "first_labels", "task.scanned"),
        libs=("task.libs",),
        version=4,
        again="tfedge.stages.data:warnings",
        probe="tfedge.data.sources:source_digest",
        root="tfedge.data.sources:data_root",
    ),
    Stage(
        "backbone",
        "tfedge.stages.backbone:run",
        outputs=("base.npz", "base.json"),
        config=("weights_seed", "device", "backbone", "task.shape"),
        libs=_TF,
        also=(*_HEADS, "tensorflow-model-optimization"),
        version=3,
        probe="tfedge.core.keys:weights_digest",
    ),
    Stage(
        "finetune",
        "tfedge.stages.finetune:run",
        inputs=("data/index.json", "backbone/base.npz", "backbone/base.json"),
        outputs=("model.npz", "teacher.npz", "float.tflite", "history.json"),
        # What a head reads that reads features; the model with its blocks as they were, when blocks
        # trained; and how training went, for people.
        optional_outputs=("features.npy", "head.tflite", "training.log"),
        config=(
            "seed",
            "device",
            "task.inputs",
            "task.views",
            "backbone",
            "finetune",
            "trains.finetune",
            "trains.lowest",
        ),
        unkeyed=("finetune.tensorboard",),  # where the run tells how training goes
        libs=_TF,
        also=(*_HEADS, "tensorflow-model-optimization"),
        version=12,
    ),
    Stage(
        "distill",
        "tfedge.stages.distill:run",
        inputs=("data/index.json", "finetune/teacher.npz", "finetune/history.json"),
        outputs=("teacher.npz", "distill.json"),
        config=(
            "seed",
            "device",
            "task.inputs",
            "task.views",
            "distill.teacher",
            *(f"distill.{key}" for key in Transfer.model_fields),
        ),
        libs=_TF,
        also=(*_HEADS, "tensorflow-model-optimization"),
        version=6,
        section="distill",
        probe="tfedge.core.keys:teacher_digest",
    ),
    Stage(
        "prune",
        "tfedge.stages.prune:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/model.npz",
            "finetune/teacher.npz",
            "finetune/features.npy",
            "distill/teacher.npz",
        ),
        outputs=("model.npz", "float.tflite", "sparsity.json", "history.json"),
        optional_outputs=("training.log",),
        config=(
            "seed",
            "device",
            "task.inputs",
            "task.views",
            "backbone",
            "prune",
            "distill.temperature",
            "trains.prune",
        ),
        libs=_TFMOT,
        also=_HEADS,
        version=8,
        section="prune",
    ),
    Stage(
        "cluster",
        "tfedge.stages.cluster:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/model.npz",
            "finetune/teacher.npz",
            "finetune/features.npy",
            "distill/teacher.npz",
            "prune/model.npz",
            "prune/sparsity.json",
        ),
        outputs=("model.npz", "float.tflite", "clusters.json", "history.json"),
        optional_outputs=("training.log",),
        config=(
            "seed",
            "device",
            "task.inputs",
            "task.views",
            "backbone",
            "cluster",
            "distill.temperature",
            "trains.cluster",
        ),
        libs=_TFMOT,
        also=_HEADS,
        version=7,
        section="cluster",
    ),
    Stage(
        "quantize",
        "tfedge.stages.quantize:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/model.npz",
            "finetune/teacher.npz",
            "finetune/features.npy",
            "distill/teacher.npz",
            "prune/model.npz",
            "prune/sparsity.json",
            "cluster/model.npz",
            "cluster/clusters.json",
        ),
        outputs=("graph.pb", "quantize.json"),
        optional_outputs=("training.log",),
        config=(
            "seed",
            "device",
            "task.inputs",
            "task.views",
            "backbone",
            "quantize",
            "first_recipe",
            "distill.temperature",
            "trains.quantize",
        ),
        # No reason to quantize once more.
        without=("quantize.debug", "quantize.xnnpack_input"),
        libs=_TFMOT,
        also=_HEADS,
        version=14,
        section="quantize",
    ),
    Stage(
        "convert",
        "tfedge.stages.convert:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/float.tflite",
            "finetune/model.npz",
            "prune/model.npz",
            "prune/float.tflite",
            "prune/sparsity.json",
            "cluster/model.npz",
            "cluster/float.tflite",
            "cluster/clusters.json",
            "quantize/graph.pb",
            "quantize/quantize.json",
        ),
        outputs=("model.tflite", "float.tflite", "model.json"),
        config=("seed", "task.inputs", "quantize.xnnpack_input"),
        libs=_TF,
        also=(*_HEADS, "tensorflow-model-optimization"),
        version=6,
    ),
    Stage(
        "evaluate",
        "tfedge.stages.evaluate:run",
        inputs=(
            "data/index.json",
            "finetune/history.json",
            "finetune/head.tflite",
            "prune/float.tflite",
            "cluster/float.tflite",
            "convert/model.tflite",
            "convert/float.tflite",
            "convert/model.json",
        ),
        outputs=("metrics.json",),
        config=(
            "task.inputs",
            "changes_examples",
            "net_trains",
            "finetune.unfreeze",
            "finetune.head",
            "finetune.class_weights",
            "task.judged_by",
            "evaluate.worst",
            "evaluate.robustness",
            "prune.noise",
            "cluster.noise",
            "quantize.noise",
        ),
        libs=("ai-edge-litert", "numpy", "task.libs"),
        version=10,
        section="evaluate",
    ),
    Stage(
        "debug",
        "tfedge.stages.debug:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/model.npz",
            "prune/model.npz",
            "cluster/model.npz",
            "quantize/graph.pb",
            "quantize/quantize.json",
            "convert/model.tflite",
            "evaluate/metrics.json",
        ),
        outputs=("debug.json",),
        config=(
            "seed",
            "device",
            "task.inputs",
            "backbone",
            "quantize.correct",
            "quantize.debug",
            "evaluate.gates.max_accuracy_drop",
        ),
        libs=_TFMOT,
        also=_HEADS,
        version=3,
        section="quantize.debug",
        auto="evaluate",
    ),
    Stage(
        "benchmark",
        "tfedge.stages.benchmark:run",
        inputs=("convert/model.tflite", "convert/float.tflite"),
        outputs=("benchmark.json",),
        config=("benchmark",),
        libs=("ai-edge-litert",),
        cacheable=False,
        section="benchmark",
        needs="tfedge.stages.benchmark:needs",
    ),
    Stage(
        "package",
        "tfedge.stages.package:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "convert/model.tflite",
            "convert/float.tflite",
            "convert/model.json",
            "evaluate/metrics.json",
            "benchmark/benchmark.json",
            "prune/sparsity.json",
            "distill/distill.json",
        ),
        outputs=("drops.json",),
        # A drop tells the latency that was measured when it was made. Measuring again, which every
        # run does, does not make another drop.
        unkeyed=("benchmark/benchmark.json",),
        config=(
            "seed",
            "name",
            "data",
            "backbone",
            "finetune",
            "distill",
            "prune",
            "cluster",
            "quantize",
            "benchmark.threads",
            "benchmark.runs",
            "benchmark.warmup",
            "benchmark.processes",
            "measured_on",
            "package",
        ),
        without=("quantize.debug", "finetune.tensorboard"),
        libs=("ai-edge-litert", "numpy", "task.libs"),
        version=8,
        section="package",
        probe="tfedge.drops.outside:digest",
        needs="tfedge.drops.outside:needs",
        needs_are_here=True,
    ),
)


def stage(name: str) -> Stage:
    """The row of that name; KeyError if there is none."""
    return {row.name: row for row in STAGES}[name]


def active(pipeline: Pipeline, stages: Sequence[Stage] = STAGES) -> tuple[Stage, ...]:
    """The stages that this pipeline runs: whose section is there, with a recipe if any."""
    task = task_of(pipeline.task)
    return tuple(of_task(row, task) for row in stages if not row.section or _on(pipeline, row))


@cache
def of_task(row: Stage, task: Task) -> Stage:
    """The row with the keys and libraries of a task in the place of ``task.…``."""
    meant = task.keys()

    def with_task_names(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for name in names for one in meant.get(name, (name,))))

    return replace(row, config=with_task_names(row.config), libs=with_task_names(row.libs))


def _on(pipeline: Pipeline, row: Stage) -> bool:
    found: Any = pipeline
    for part in row.section.split("."):
        found = getattr(found, part)
        if not found or getattr(found, "recipe", "") == OFF:
            return False
    return found != "auto" or getattr(pipeline, row.auto) is not None


def libraries(stages: Iterable[Stage]) -> set[str]:
    """The distributions without which these stages can't run."""
    return {*_REPORT, *(name for row in stages for name in (*row.libs, *row.also))}


def function_of(reference: str) -> Callable[..., Any]:
    """The function that ``"module:function"`` names."""
    function: Callable[..., Any] = imported(reference)
    return function
