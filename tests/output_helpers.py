"""Stages' outputs with as little in them as they can have."""

from __future__ import annotations

from typing import Any

from tfedge.core.outputs import (
    Evaluation,
    History,
    LayerComparison,
    LayerHarm,
    Mixture,
    ModelMetrics,
    Phase,
    Side,
)
from tfedge.tasks.paired import mcnemar
from tfedge.tasks.task import Metric


def phase(name: str, against: str | None, gained: int = 0, lost: int = 0, **more: Any) -> Phase:
    change: dict[str, Any] = dict.fromkeys(("gained", "lost", "p"))
    if against is not None:
        change = {"gained": gained, "lost": lost, "p": mcnemar(gained, lost)}
    about = {"phase": name, "against": against, "n": 200, "agreement": None}
    return Phase(**(about | change | more))


def evaluation(metric: Metric, values: dict[str, float], **changed: Any) -> Evaluation:
    """``values`` are those of the phases, in their order."""
    names = [None, *values]
    models = {
        name: ModelMetrics(**metric.named(values[name]))
        for name in ("float", "int8")
        if name in values
    }
    found: dict[str, Any] = {
        "split": "val",
        "n": 200,
        "chose_weights": False,
        "shipped": "int8" if "int8" in values else "float",
        **models,
        "phases": [
            phase(name, before, **metric.named(value))
            for before, (name, value) in zip(names, values.items(), strict=False)
        ],
        "worst": [],
        "warnings": [],
        "proposals": [],
    }
    return Evaluation(**(found | changed))


def history(metric: Metric, train: float, val: float) -> History:
    """Of a head that knows so much of 700 training and 200 validation examples."""
    sides = [
        Side(loss=0.1, n=count, **metric.named(value))
        for value, count in ((train, 700), (val, 200))
    ]
    return History(
        head_kind="logistic", chose_weights_on=None, head=[], C=1.0, train=sides[0], val=sides[1]
    )


def comparison(**changed: Any) -> LayerComparison:
    """Of layers, ``conv_7`` the worst of them."""
    harm = {"unit": "conv_7", "divergence": 0.02, "agreement": 0.5, "error": 0.75, "sqnr_db": 20.0}
    mixture = Mixture(agreement=0.5, kept={}, divergence=0.1, top1=0.5)
    found: dict[str, Any] = {
        "recipe": "qat",
        "ranges": "graph",
        "quick": False,
        "split": "val",
        "n": 8,
        "limit": 0.02,
        "limit_from": "",
        "float": Mixture(agreement=1.0, top1=0.75),
        "now": mixture,
        "file": Mixture(agreement=0.625, top1=0.5),
        "proposed": None,
        "layers": [LayerHarm(**harm, kept="int8")],
    }
    return LayerComparison(**(found | changed))
