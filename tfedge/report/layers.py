"""The report's sections on zeros and clusters: what was reached, and layer by layer, as made and as
the file has them."""

from __future__ import annotations

from tfedge.core.outputs import ClusteredLayer, FileLayer, ModelFile, SparseLayer, Sparsity
from tfedge.report import sparse
from tfedge.report.facts import Facts, sparse_pairs
from tfedge.report.markup import threads_text
from tfedge.tasks.blocks import Bars, Block, Bullets, Figure, Table, Text, cell, percent

_BARS = 30  # layers of a picture


def sparsity(facts: Facts) -> list[Block]:
    """What was reached. Empty when no file was made."""
    if not facts.model:
        return []
    return [*_pruned(facts, facts.model), *_clusters(facts)]


def layer_tables(facts: Facts) -> list[Block]:
    """A line a layer: as it was pruned, as it was clustered, and as the file has it."""
    if not facts.model:
        return []
    rows = [
        [*_sizes(row), f"{row.distinct:,}", f"{row.distinct_channel:,}"]
        for row in facts.model.layers
        if row.size
    ]
    head = ["kernel in model.tflite", "weights", "zeros", "distinct values", "most in a channel"]
    return [*_pruned_table(facts), *_clusters_table(facts), Table(head, rows)]


def _pruned(facts: Facts, model: ModelFile) -> list[Block]:
    pruned = facts.sparsity
    if pruned is None:
        return [Text("Nothing was pruned.")]
    share = model.sparsity
    shipped = f"; in the shipped file: {percent(share)}" if share is not None else ""
    return [
        Text(
            f"Wanted {percent(pruned.target)} of {pruned.total:,} prunable weights; reached "
            f"{percent(pruned.reached)}{shipped}.{_structure(pruned)}"
        ),
        *_sparse(facts),
        *_bars(pruned),
    ]


def _pruned_table(facts: Facts) -> list[Block]:
    if facts.sparsity is None:
        return []
    rows = [[*_sizes(row), "frozen" if row.frozen else ""] for row in facts.sparsity.layers]
    return [Table(["pruned layer", "weights", "zeros", ""], rows)]


def _bars(pruned: Sparsity) -> list[Block]:
    """The share of zeros in each layer that was pruned; of many, in the largest."""
    layers = [row for row in pruned.layers if row.size and not row.frozen]
    drawn = sorted(layers, key=lambda row: -row.size)[:_BARS]
    rows = [
        (row.name, row.zeros / row.size, percent(row.zeros / row.size))
        for row in pruned.layers
        if row in drawn
    ]
    if len(rows) < 2:
        return []
    which = f"; the {_BARS} largest of {len(layers)}" if len(layers) > _BARS else ""
    return [Figure(f"Zeros in each pruned layer{which}", Bars(rows, most=1.0))]


def _sizes(row: SparseLayer | ClusteredLayer | FileLayer) -> list[str]:
    return [row.name, f"{row.size:,}", percent(row.zeros / row.size)]


def _structure(pruned: Sparsity) -> str:
    """What stands together, as it was checked in the file; and which layers could not have it."""
    structure = pruned.structure
    if structure is None:
        return ""
    if structure.sparsity_m_by_n:
        m, n = structure.sparsity_m_by_n
        what = f" In each {n} neighbouring input channels at least {m} weights are zero"
    else:
        height, width = structure.block_size
        what = f" The zeros stand in whole blocks of {height}×{width} (inputs × outputs)"
    plain = [row.name for row in pruned.layers if not row.frozen and not row.target]
    left = f"; left dense, for their shape has no room for it: {', '.join(plain)}" if plain else ""
    return f"{what}, checked in the file{cell(left)}."


def _sparse(facts: Facts) -> list[Block]:
    """What the zeros of a float model gain, one line for each device and number of threads."""
    lines = []
    for dense, shipped in sparse_pairs(facts):
        where = f"{shipped.device}, {threads_text(shipped.threads)}"
        reason = "" if sparse.is_faster(dense, shipped) else sparse.why_not(shipped)
        said = f"{where}: {sparse.verdict_beside_dense(dense, shipped)}"
        lines.append(said + (f" ({reason})" if reason else "") + ".")
    return [Text("XNNPACK's sparse kernels, measured:"), Bullets(lines)] if lines else []


def _clusters(facts: Facts) -> list[Block]:
    if facts.clusters is None:
        return []
    layers = facts.clusters.layers
    return [
        Text(
            f"Clustered to {facts.clusters.clusters} values in each of "
            f"{sum(not row.frozen for row in layers)} kernels; the frozen ones keep all of theirs."
        ),
    ]


def _clusters_table(facts: Facts) -> list[Block]:
    if facts.clusters is None:
        return []
    rows = []
    for row in facts.clusters.layers:
        name, size, zeros = _sizes(row)
        rows.append([name, size, f"{row.distinct:,}", zeros, "frozen" if row.frozen else ""])
    return [Table(["clustered layer", "weights", "distinct values", "zeros", ""], rows)]
