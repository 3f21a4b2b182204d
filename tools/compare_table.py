"""For tools/compare_by_hand.py: the summary of all parts, and the table of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

BY_HAND, TFEDGE = "by hand", "tfedge"
CHAINS = (BY_HAND, TFEDGE)
STEPS = ("start", "data", "backbone", "finetune", "prune", "quantize", "convert")

Facts = dict[str, Any]


def spread(values: Sequence[float]) -> Facts:
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"n": len(values), "mean": statistics.mean(values), "sd": sd}


def summary(parts: Sequence[Facts]) -> Facts:
    """Mean and sample standard deviation over seeds, of each chain; the ratio of the means."""
    found: Facts = {}
    for chain in CHAINS:
        if not (mine := [part for part in parts if part["chain"] == chain]):
            continue
        seconds = {k: spread([p["seconds"][k] for p in mine]) for k in mine[0]["seconds"]}
        others = ("cpu_seconds", "int8_top1", "own_int8_top1", "own_float_top1", "zeros", "bytes")
        found[chain] = {"seconds": seconds} | {k: spread([p[k] for p in mine]) for k in others}
    if len(found) == len(CHAINS):
        hand, ours = (found[chain]["seconds"] for chain in CHAINS)
        found["ratio"] = {k: hand[k]["mean"] / ours[k]["mean"] for k in ("same_steps", "whole")}
    return found


def table(parts: Sequence[Facts]) -> str:
    """The summary as Markdown: a row a figure, a column a chain, and the ratio of the times."""
    found = summary(parts)
    chains = [chain for chain in CHAINS if chain in found]
    both = len(chains) == len(CHAINS)

    def of(chain: str, *path: str) -> Facts:
        value = found[chain]
        for key in path:
            value = value.get(key, {})
        return value

    def row(name: str, *path: str, form: str = "{:.1f}", ratio: bool = True) -> list[str]:
        cells = [shown(of(chain, *path), form) for chain in chains]
        means = [of(chain, *path).get("mean", math.nan) for chain in chains]
        last = f"{means[0] / means[1]:.1f}×" if both and ratio and means[1] > 0.05 else ""
        return [name, *cells, *([last] if both else [])]

    def said(name: str, tell: Callable[[Facts], str]) -> list[str]:
        each = [{tell(part): 0 for part in parts if part["chain"] == c} for c in chains]
        return [name, *(", ".join(values) for values in each), *([""] if both else [])]

    rows = [["", *chains, *(["ratio"] if both else [])]]
    rows += [row(f"{step}, s", "seconds", step) for step in STEPS]
    rows.append(row("**same steps, s**", "seconds", "same_steps"))
    rows += [row(f"{name}, s", "seconds", name) for name in ("evaluate", "whole")]
    rows.append(row("CPU seconds, whole", "cpu_seconds"))
    rows.append(row("**int8 top-1**", "int8_top1", form="{:.1%}", ratio=False))
    rows.append(row("own int8 top-1", "own_int8_top1", form="{:.1%}", ratio=False))
    rows.append(row("own float top-1", "own_float_top1", form="{:.1%}", ratio=False))
    rows.append(row("zeros in 1×1 kernels", "zeros", form="{:.2%}", ratio=False))
    rows.append(row("bytes", "bytes", form="{:,.0f}", ratio=False))
    rows.append(said("float tensors", lambda part: str(part["float_tensors"])))
    rows.append(said("input", lambda part: f"{part['input']['dtype']} {part['input']['shape']}"))
    widths = [max(len(line[i]) for line in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in rows)


def shown(value: Facts, form: str) -> str:
    if not value:
        return ""
    sd = f" ± {form.format(value['sd'])}" if value["sd"] is not None else ""
    return form.format(value["mean"]) + sd
