"""What a network goes through on its way to the file that ships: each phase as a .tflite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfedge.catalog.recipes import quantizing
from tfedge.core.context import Context
from tfedge.core.outputs import ModelFile, Phase, Recipe, read
from tfedge.tasks.paired import compared
from tfedge.tasks.task import Metric, Work

FLOAT, INT8 = "float", "int8"
HEAD = "head"  # the new head, before its blocks trained
_ALWAYS = {FLOAT: "convert/float.tflite"}
_BETWEEN = {"pruned": "prune/float.tflite", "clustered": "cluster/float.tflite"}
_SHIPPED = "convert/model.tflite"


def recipe(ctx: Context) -> Recipe:
    """How the shipped file was quantized; ``float``: not at all."""
    return read(ctx.inputs["convert/model.json"], ModelFile).recipe


def files(ctx: Context) -> dict[str, str]:
    """The phases of this run in their order, each with its ``"stage/file"``.

    The last one is the file that ships: ``int8``, or what was done last to a float model.
    """
    optional = {HEAD: "finetune/head.tflite", **_ALWAYS, **_BETWEEN}
    found = {name: file for name, file in optional.items() if name in _ALWAYS or ctx.has(file)}
    last = INT8 if quantizing(recipe(ctx)).ships == INT8 else next(reversed(found))
    return {**found, last: _SHIPPED}


def table(
    work: Work, metric: Metric, outputs: Mapping[str, np.ndarray], targets: np.ndarray
) -> list[Phase]:
    """Each phase against the one before, on the same examples.

    Args:
        outputs: [N, …] of each phase, in their order.
        targets: [N, …].

    A last phase with others between it and ``float`` says too what all of them did together.
    """
    names = list(outputs)
    quality = {name: work.quality(found, targets) for name, found in outputs.items()}
    rows = []
    for before, name in zip([None, *names], names, strict=False):
        found = outputs[name]
        change: dict[str, Any] = dict.fromkeys(("gained", "lost", "p"))
        if before is not None:
            change = dict(compared(quality[before], quality[name]))
        if name == names[-1] and FLOAT not in (name, before):
            whole = compared(quality[FLOAT], quality[name])
            change |= {f"{key}_float": value for key, value in whole}
        row = Phase(
            phase=name,
            agreement=None if name == FLOAT else float(work.same(outputs[FLOAT], found).mean()),
            n=len(targets),
            against=before,
            **metric.named(work.primary(found, targets)),
            **change,
        )
        rows.append(row)
    return rows
