"""What ``tfedge backbones`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from tfedge.catalog.backbones import Backbone, net
from tfedge.report.table import WIDTH

_HEAD = ("backbone", "family", "pixels", "parameters", "MACs", "alpha", "weights")


def facts(row: Backbone) -> dict[str, Any]:
    """Everything the catalogue knows of a backbone, ready for JSON."""
    mean, std = row.norm
    return {
        "name": row.name,
        "family": row.family,
        "min_size": row.min_size,
        "native_size": row.native_size,
        "mean": mean,
        "std": std,
        "weights": [*row.weights, "none"],
        "alphas": {
            f"{alpha:g}": {
                "parameters": net(row.name, alpha).parameters,
                "macs": net(row.name, alpha).macs,
            }
            for alpha in row.alphas
        },
        "blocks": [block.name for block in net(row.name, row.alphas[0]).blocks],
    }


def listing(rows: Iterable[Backbone]) -> str:
    """A line for each; of several alphas the figures of the largest."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]
    right = {3, 4}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cells(row: Backbone) -> tuple[str, ...]:
    largest = net(row.name, max(row.alphas))
    alphas = "" if len(row.alphas) == 1 else f"{min(row.alphas):g}–{max(row.alphas):g}"
    return (
        row.name,
        row.family,
        f"≥ {row.min_size}, {row.native_size}",
        f"{largest.parameters / 1e6:.1f} M",
        f"{largest.macs / 1e9:.2f} G",
        alphas,
        ", ".join(row.weights) or "file, none",
    )


def one(row: Backbone) -> str:
    """A backbone with the blocks that ``unfreeze`` takes."""
    mean, std = row.norm
    lines = [
        listing([row]),
        "",
        f"Its weights want (pixel − {_triple(mean)}) / {_triple(std)}, RGB, 0–255.",
        "Blocks, from the pixels up:",
    ]
    names = "  ".join(block.name for block in net(row.name, row.alphas[0]).blocks)
    return "\n".join([*lines, *wrap(names, WIDTH)])


def _triple(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"({', '.join(f'{v:g}' for v in values)})"
