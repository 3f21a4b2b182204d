"""Which blocks train in which stage, and how much sparsity each of their layers must carry.

Counted from the catalogue alone, so that the plan can say it before anything is built. A stage
trains the top part of the net, from one block upwards, and always the head.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from tfedge.catalog.backbones import Block, Kernel
from tfedge.catalog.recipes import pruning
from tfedge.config.spelling import did_you_mean
from tfedge.errors import ConfigError
from tfedge.pipeline.recipes import quantized_by
from tfedge.pipeline.schema import Cluster, Pipeline, Prune
from tfedge.pipeline.structure import supports_structure, total_zeros_m_by_n, zeros_m_by_n

TrainingStage = Literal["finetune", "prune", "cluster", "quantize"]
# Stages whose part `auto` follows: what they made in it is kept by training there.
_FOLLOWS = {"prune": (), "cluster": ("prune",), "quantize": ("prune", "cluster")}

MAX_SHARE = 0.90  # more zeros than this in a layer leave too little of it
AUTO_SHARE = 0.70  # `auto` trains at least this share of the prunable weights …
AUTO_FULL = 0.75  # … and enough that its layers need not be sparser than this

# Kinds that are left alone unless `also` names them.
_DENSE = ("first", "depthwise", "scale", "table")


class Part(NamedTuple):
    """Prunable weights of the whole model, and of the part of it that trains."""

    total: int
    trained: int


class LayerSparsity(NamedTuple):
    """What a layer must carry if every layer that trains carries the same."""

    layer: str
    size: int  # weights in its kernel
    share: float  # of them that must be zero


def blocks_of(pipeline: Pipeline) -> tuple[Block, ...]:
    """The blocks of the pipeline's backbone, from the pixels up."""
    return pipeline.backbone.blocks


def first_trained(pipeline: Pipeline, stage: TrainingStage) -> int | None:
    """Index into ``blocks_of`` of the lowest block that the stage trains; None: only the head.

    ``auto`` is worked out here. Raises ConfigError for a value that fits no block of the backbone.
    """
    blocks = blocks_of(pipeline)
    opened = resolve(pipeline.finetune.unfreeze, blocks)
    if stage == "finetune":
        return opened
    section = getattr(pipeline, stage)
    value = section.unfreeze if section is not None else "auto"
    if value != "auto":
        return resolve(value, blocks)
    before = [s for s in _FOLLOWS[stage] if getattr(pipeline, s) is not None]
    if before:
        return _lowest(first_trained(pipeline, s) for s in before)  # type: ignore[arg-type]
    return min(_auto(pipeline, blocks), len(blocks) if opened is None else opened)


def lowest_trained(pipeline: Pipeline) -> int | None:
    """Index of the lowest block that any stage of the pipeline trains; None: only the head does."""
    stages: list[TrainingStage] = ["finetune"]
    stages += ["prune"] if pipeline.prune else []
    stages += ["cluster"] if pipeline.cluster else []
    stages += ["quantize"] if quantized_by(pipeline).trains else []
    return _lowest(first_trained(pipeline, stage) for stage in stages)


def block_name(pipeline: Pipeline, stage: TrainingStage) -> str | None:
    """Name of the lowest block that the stage trains; None: only the head."""
    index = first_trained(pipeline, stage)
    return None if index is None else blocks_of(pipeline)[index].name


def resolve(value: str | int | float, blocks: tuple[Block, ...]) -> int | None:
    """An ``unfreeze`` value other than ``auto`` as the index of the lowest block that trains."""
    names = [block.name for block in blocks]
    if isinstance(value, str):
        if value in ("none", "all"):
            return 0 if value == "all" else None
        if value == "auto":
            raise ConfigError(["auto is decided from prune and quantize: say none, all or a block"])
        if value not in names:
            raise ConfigError([f"no block {value!r}{did_you_mean(value, ['none', 'all', *names])}"])
        return names.index(value)
    if isinstance(value, int):
        if value > len(blocks):
            raise ConfigError([f"{value} blocks, but the backbone has {len(blocks)}"])
        count = value
    else:
        count = math.ceil(value * len(blocks) - 1e-9)
    return len(blocks) - count if count else None


def prunable(section: Prune | Cluster, blocks: tuple[Block, ...]) -> list[Kernel]:
    """The kernels of those blocks that the section's ``layers`` or ``also`` choose, bottom up."""
    kernels = [kernel for block in blocks for kernel in block.kernels]
    if (
        isinstance(section, Prune) and pruning(section.recipe).sparse_file
    ):  # as TF-MOT's PruneForLatencyOnXNNPack
        return [k for k in kernels if k.kind == "conv" and k.shape[:2] == (1, 1)]
    if section.layers:
        return [k for k in kernels if any(fnmatchcase(k.layer, p) for p in section.layers)]
    return [k for k in kernels if k.kind not in _DENSE or k.kind in section.also]


def planned_clusters(pipeline: Pipeline) -> list[Kernel]:
    """The kernels that will have ``cluster.clusters`` values: chosen, and in the part that trains.

    The head is left out: its size is known with the classes only.
    """
    start = first_trained(pipeline, "cluster") if pipeline.cluster is not None else None
    if pipeline.cluster is None or start is None:
        return []
    return prunable(pipeline.cluster, blocks_of(pipeline)[start:])


def part(pipeline: Pipeline, start: int | None) -> Part:
    """Prunable weights in all, and from block ``start`` up, there without those of kernels that
    can't carry the structure asked for. The head's are in neither: its classes come with the data.
    """
    prune, blocks = pipeline.prune or Prune(), blocks_of(pipeline)
    trained = blocks[start:] if start is not None else ()
    total = sum(kernel.size for kernel in prunable(prune, blocks))
    return Part(total, sum(kernel.size for kernel in kernels_with_structure(prune, trained)))


def kernels_with_structure(prune: Prune, blocks: tuple[Block, ...]) -> list[Kernel]:
    """Those of ``prunable`` that can carry the structure asked for."""
    return [k for k in prunable(prune, blocks) if supports_structure(prune, k.shape, k.kind)]


def planned_sparsity(pipeline: Pipeline) -> list[LayerSparsity]:
    """For each prunable layer that trains: the share of zeros it needs, were all to carry the same.

    ``prune.sparsity`` counts over the whole model and frozen layers stay as they are, so the share
    is sparsity x total / trained; above ``MAX_SHARE`` the configuration is refused (config/rules).
    With m by n each layer's share follows from its shape.
    Empty when nothing is pruned. The head is left out: its size is known with the classes only.
    """
    prune = pipeline.prune
    if prune is None:
        return []
    start = first_trained(pipeline, "prune")
    if start is None:
        return []
    kernels = kernels_with_structure(prune, blocks_of(pipeline)[start:])
    if prune.sparsity_m_by_n is not None:
        return [
            LayerSparsity(k.layer, k.size, zeros_m_by_n(prune, k.shape) / k.size) for k in kernels
        ]
    total, trained = part(pipeline, start)
    share = prune.sparsity * total / trained if trained else 0.0
    return [LayerSparsity(kernel.layer, kernel.size, share) for kernel in kernels]


def _lowest(found: Iterable[int | None]) -> int | None:
    return min((first for first in found if first is not None), default=None)


def _auto(pipeline: Pipeline, blocks: tuple[Block, ...]) -> int:
    """The smallest top part that holds enough prunable weights to carry the sparsity."""
    prune = pipeline.prune
    if prune is not None and pruning(prune.recipe).sparse_file:
        return 0  # a kernel that does not train is dense, and slower for it
    if prune is not None and prune.sparsity_m_by_n is not None:
        return _auto_m_by_n(pipeline, prune, blocks)
    need = max(AUTO_SHARE, prune.sparsity / AUTO_FULL if prune else 0.0)
    for start in range(len(blocks) - 1, 0, -1):
        total, trained = part(pipeline, start)
        if trained >= need * total:
            return start
    return 0


def _auto_m_by_n(pipeline: Pipeline, prune: Prune, blocks: tuple[Block, ...]) -> int:
    """The smallest top part in which m by n gives the zeros that ``sparsity`` asks for."""
    for start in range(len(blocks) - 1, 0, -1):
        total = part(pipeline, start).total
        if (
            total_zeros_m_by_n(prune, kernels_with_structure(prune, blocks[start:]))
            >= prune.sparsity * total
        ):
            return start
    return 0
