"""What holds between the keys of ``prune`` that ask for structured zeros, or for XNNPACK's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase

from tfedge.catalog.backbones import BACKBONES, Kernel
from tfedge.catalog.recipes import pruning
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.recipes import is_quantized
from tfedge.pipeline.schema import Pipeline, Prune
from tfedge.pipeline.structure import (
    XNNPACK_LEAST,
    block_area,
    is_structured,
    structure_name,
    supports_structure,
    total_zeros_m_by_n,
)
from tfedge.pipeline.unfreeze import (
    MAX_SHARE,
    block_name,
    blocks_of,
    first_trained,
    kernels_with_structure,
    part,
    prunable,
)

# The nets whose every op XNNPACK can run with its sparse kernels: no squeeze-and-excite, nothing
# but 1×1, depthwise and the first 3×3 convolution, ReLU and additions.
XNNPACK_FAMILIES = ("MobileNetV2", "EfficientNet-Lite")
_SHOWN = 3  # layers named in a message


def structure_keys(prune: Prune) -> Iterator[Problem]:
    """What is wrong with the keys themselves, whatever the net."""
    both = ("prune.sparsity_m_by_n", "prune.block_size")
    if prune.sparsity_m_by_n is not None:
        m, n = prune.sparsity_m_by_n
        if m / n > MAX_SHARE:
            most = f"at most {MAX_SHARE:.0%}, as 2 of 4"
            yield Problem(both[0], f"{m} zeros in {n} weights are too many: {most}")
        if block_area(prune) > 1:
            yield Problem(both[1], f"is one structure, {both[0]} another: leave one out", both)
    if block_area(prune) == 1 and prune.block_pooling_type != "AVG":
        what = f"there are no blocks to pool: set {both[1]}"
        yield Problem("prune.block_pooling_type", what, both[1:])


def structure(pipeline: Pipeline) -> Iterator[Problem]:
    """Layers that were named and can't carry the structure; and what m by n makes of the sparsity.

    For a pipeline whose net and ``prune.unfreeze`` are known.
    """
    prune = pipeline.prune
    if prune is None or not is_structured(prune) or any(structure_keys(prune)):
        return
    uses = ("backbone", "prune", "finetune.unfreeze")
    key = "prune.block_size" if block_area(prune) > 1 else "prune.sparsity_m_by_n"
    name = structure_name(prune)
    if "depthwise" in prune.also and not prune.layers:
        what = f"a depthwise kernel has one input for each output, which {name} can't be cut from"
        yield Problem("prune.also", f"{what}: leave depthwise out", uses)
    chosen = prunable(prune, blocks_of(pipeline))
    for index, pattern in enumerate(prune.layers):
        unfit = [
            k for k in chosen
            if fnmatchcase(k.layer, pattern) and not supports_structure(prune, k.shape, k.kind)
        ]  # fmt: skip
        if unfit:
            what = f"{_misfit_text(prune, unfit)}: name others"
            yield Problem(f"prune.layers[{index}]", what, uses)
    if not kernels_with_structure(prune, blocks_of(pipeline)):
        yield Problem(key, f"no kernel of {pipeline.backbone.name} can carry {name}", uses)
    elif prune.sparsity_m_by_n is not None:
        yield from _follows(pipeline, prune, uses)


def _follows(pipeline: Pipeline, prune: Prune, uses: tuple[str, ...]) -> Iterator[Problem]:
    """m by n leaves no choice: the sparsity is what it gives where the net trains."""
    start = first_trained(pipeline, "prune")
    trained = blocks_of(pipeline)[start:] if start is not None else ()
    total = part(pipeline, start).total
    share = (
        total_zeros_m_by_n(prune, kernels_with_structure(prune, trained)) / total if total else 0.0
    )
    follows = math.floor(100 * share + 1e-9) / 100
    if follows <= prune.sparsity <= share + 1e-9:
        return
    m, n = prune.sparsity_m_by_n or (0, 1)
    what = f"{m} zeros in {n} make {follows:g} of all {total:,} prunable weights"
    where = f"from {block_name(pipeline, 'prune')} up" if start is not None else "in the head only"
    way = f"write {follows:g}" if follows else "train more of it (prune.unfreeze: auto)"
    more = (
        ""
        if start == 0 or not follows or prune.sparsity < follows
        else (", or prune.unfreeze: all" if prune.unfreeze != "all" else "")
    )
    text = f"{what}, the net being trained {where}, not {prune.sparsity:g}"
    yield Problem("prune.sparsity", f"{text}: {way}{more}", uses)


def structure_notes(pipeline: Pipeline) -> Iterator[str]:
    """Which prunable layers stay dense, for their shape can't carry the structure."""
    prune = pipeline.prune
    if prune is None or not is_structured(prune):
        return
    start = first_trained(pipeline, "prune")
    trained = blocks_of(pipeline)[start:] if start is not None else ()
    unfit = [k for k in prunable(prune, trained) if not supports_structure(prune, k.shape, k.kind)]
    if unfit:
        yield f"prune: {_misfit_text(prune, unfit)}: these layers stay dense"


def _misfit_text(prune: Prune, kernels: list[Kernel]) -> str:
    shown = ", ".join(f"{k.layer} ({'×'.join(map(str, k.shape))})" for k in kernels[:_SHOWN]) + (
        f" and {len(kernels) - _SHOWN} more" if len(kernels) > _SHOWN else ""
    )
    if prune.sparsity_m_by_n is not None:
        return f"{shown}: too few input channels for {structure_name(prune)}"
    needs = "1×1 convolutions and dense layers whose sides are multiples of theirs"
    return f"{shown}: {structure_name(prune)} need {needs}"


def xnnpack(pipeline: Pipeline) -> Iterator[Problem]:
    """``prune.recipe: xnnpack``: what XNNPACK asks for before it takes its sparse kernels.

    Source: XNNPACK's ``xnn_subgraph_rewrite_for_nchw`` and TF-MOT's ``PruneForLatencyOnXNNPack``.
    """
    prune = pipeline.prune
    if prune is None or not pruning(prune.recipe).sparse_file:
        return
    uses = ("prune.recipe",)
    row = BACKBONES.get(pipeline.backbone.name)
    if is_quantized(pipeline):
        what = "XNNPACK has sparse kernels for float models only, and this one becomes int8"
        way = "leave out the quantize section, or use prune.recipe: magnitude"
        yield Problem("prune.recipe", f"xnnpack: {what}: {way}", ("quantize",))
    if prune.sparsity < XNNPACK_LEAST:
        what = f"prune.recipe xnnpack needs {XNNPACK_LEAST:g} or more: with fewer zeros XNNPACK"
        text = f"{prune.sparsity:g}: {what} stays with its dense kernels"
        yield Problem("prune.sparsity", text, uses)
    for key in ("layers", "also"):
        if getattr(prune, key):
            what = "prune.recipe xnnpack prunes the 1×1 convolutions, all of them: leave it out"
            yield Problem(f"prune.{key}", what, uses)
    if row is not None and row.family not in XNNPACK_FAMILIES:
        what = f"XNNPACK's sparse kernels can't run all of {row.name}"
        way = f"prune.recipe xnnpack is for {' and '.join(XNNPACK_FAMILIES)}"
        yield Problem("backbone.name", f"{what}: {way}", uses)


def xnnpack_size(pipeline: Pipeline, size: int, key: str) -> Iterator[Problem]:
    """The side of an image, in pixels, that stands at ``key``."""
    prune = pipeline.prune
    asked = prune is not None and pruning(prune.recipe).sparse_file
    if asked and pipeline.backbone.name in BACKBONES and size % 32 != 1:
        what = "on sides other than 32k+1 the net pads unevenly, which XNNPACK's sparse kernels"
        near = max(33, (size + 15) // 32 * 32 + 1)
        text = f"{size}: {what} can't: {near} is the nearest"
        yield Problem(key, text, ("prune.recipe",))


def xnnpack_trains(pipeline: Pipeline) -> Iterator[Problem]:
    """All 1×1 kernels must train: one that stays dense is slower as a sparse one.

    For a pipeline whose net and ``prune.unfreeze`` are known.
    """
    prune = pipeline.prune
    whole = prune is not None and pruning(prune.recipe).sparse_file
    if not whole or not first_trained(pipeline, "prune"):
        return
    first = block_name(pipeline, "prune")
    what = f"what lies below {first} would stay dense, and XNNPACK with it: prune.recipe xnnpack"
    yield Problem("prune.unfreeze", f"{what} needs all, or auto", ("prune.recipe", "backbone"))
