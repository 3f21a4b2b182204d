"""What a network goes through on its way to the file that ships: each phase as a .tflite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfedge.core.context import Context
from tfedge.tasks.paired import compared
from tfedge.tasks.task import Metric, Work

FLOAT, INT8 = "float", "int8"
HEAD = "head"  # the new head, before its blocks trained
_ALWAYS = {FLOAT: "convert/float.tflite"}
_BETWEEN = {"pruned": "prune/float.tflite", "clustered": "cluster/float.tflite"}
_SHIPPED = "convert/model.tflite"


def recipe(ctx: Context) -> str:
    """How the shipped file was quantized: ``qat``, ``ptq``, or ``float`` for not at all."""
    model = json.loads(ctx.inputs["convert/model.json"].read_text(encoding="utf-8"))
    return str(model["recipe"])


def files(ctx: Context) -> dict[str, str]:
    """The phases of this run in their order, each with its ``"stage/file"``.

    The last one is the file that ships: ``int8``, or what was done last to a float model.
    """
    optional = {HEAD: "finetune/head.tflite", **_ALWAYS, **_BETWEEN}
    found = {name: file for name, file in optional.items() if name in _ALWAYS or ctx.has(file)}
    last = INT8 if recipe(ctx) in ("qat", "ptq") else next(reversed(found))
    return {**found, last: _SHIPPED}


def table(
    work: Work, metric: Metric, outputs: Mapping[str, np.ndarray], targets: np.ndarray
) -> list[dict[str, Any]]:
    """Each phase against the one before, on the same examples.

    Args:
        outputs: [N, …] of each phase, in their order.
        targets: [N, …].

    A last phase with others between it and ``float`` has ``gained_float``, ``lost_float`` and
    ``p_float`` too: what all of them did together.
    """
    names = list(outputs)
    quality = {name: work.quality(found, targets) for name, found in outputs.items()}
    rows = []
    for before, name in zip([None, *names], names, strict=False):
        found = outputs[name]
        change: dict[str, Any] = dict.fromkeys(("gained", "lost", "p"))
        if before is not None:
            change = compared(quality[before], quality[name])
        alike = None if name == FLOAT else float(work.same(outputs[FLOAT], found).mean())
        rows.append(
            {
                "phase": name,
                metric.key: work.primary(found, targets),
                "agreement": alike,
                "n": len(targets),
                "against": before,
                **change,
            }
        )
    last = rows[-1]
    if last["phase"] != FLOAT and last["against"] != FLOAT:
        whole = compared(quality[FLOAT], quality[last["phase"]])
        last |= {f"{key}_float": value for key, value in whole.items()}
    return rows
