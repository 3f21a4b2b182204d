"""The stage table: flat rows, readable without importing a stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One row.

    ``inputs`` are ``"stage/file"`` of earlier stages (those of a stage that does not run in this
    pipeline are left out); ``config`` the dotted keys of the resolved pipeline that its key hashes;
    ``libs`` the distributions whose versions it hashes; ``version`` rises when its code changes
    what it writes.
    """

    name: str
    function: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    libs: tuple[str, ...] = ()
    version: int = 1
    cacheable: bool = True
    section: str = ""  # the section that switches it on; "" runs always


_TF = ("tensorflow", "tf-keras", "numpy", "ai-edge-litert")
_TFMOT = (*_TF, "tensorflow-model-optimization")
_PIXELS = ("data.image_size", "data.fit")

STAGES: tuple[Stage, ...] = (
    Stage(
        "data",
        "tfedge.stages.data:run",
        outputs=("index.json", "audit.json"),
        config=("seed", "data"),
        libs=("pillow",),
    ),
    Stage(
        "backbone",
        "tfedge.stages.backbone:run",
        outputs=("base.npz", "base.json"),
        config=("seed", "backbone", "data.image_size"),
        libs=_TF,
    ),
    Stage(
        "finetune",
        "tfedge.stages.finetune:run",
        inputs=("data/index.json", "backbone/base.npz", "backbone/base.json"),
        outputs=("model.npz", "teacher.npz", "float.tflite", "history.json"),
        config=("seed", *_PIXELS, "data.augment", "backbone", "finetune"),
        libs=_TF,
    ),
    Stage(
        "prune",
        "tfedge.stages.prune:run",
        inputs=("data/index.json", "backbone/base.json", "finetune/model.npz", "finetune/teacher.npz"),
        outputs=("model.npz", "sparsity.json", "history.json"),
        config=("seed", *_PIXELS, "data.augment", "backbone", "prune", "finetune.dropout"),
        libs=_TFMOT,
        section="prune",
    ),
    Stage(
        "quantize",
        "tfedge.stages.quantize:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/model.npz",
            "finetune/teacher.npz",
            "prune/model.npz",
            "prune/sparsity.json",
        ),
        outputs=("graph.pb", "quantize.json"),
        config=("seed", *_PIXELS, "data.augment", "backbone", "prune", "quantize", "finetune.dropout"),
        libs=_TFMOT,
        section="quantize",
    ),
    Stage(
        "convert",
        "tfedge.stages.convert:run",
        inputs=(
            "data/index.json",
            "backbone/base.json",
            "finetune/float.tflite",
            "prune/model.npz",
            "prune/sparsity.json",
            "quantize/graph.pb",
            "quantize/quantize.json",
        ),
        outputs=("model.tflite", "float.tflite", "model.json"),
        config=("seed", *_PIXELS, "backbone", "quantize", "finetune.dropout"),
        libs=_TF,
    ),
    Stage(
        "evaluate",
        "tfedge.stages.evaluate:run",
        inputs=(
            "data/index.json",
            "finetune/history.json",
            "convert/model.tflite",
            "convert/float.tflite",
            "convert/model.json",
        ),
        outputs=("metrics.json",),
        config=(*_PIXELS, "evaluate.top_k", "evaluate.worst"),
        libs=("ai-edge-litert", "numpy", "scikit-learn"),
        section="evaluate",
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
        ),
        outputs=("drops.json",),
        config=("name", "data", "backbone", "prune", "quantize", "package"),
        libs=(),
        cacheable=False,
        section="package",
    ),
)


def stage(name: str) -> Stage:
    """The row of that name; KeyError if there is none."""
    return {row.name: row for row in STAGES}[name]
