"""Evaluate the exported files themselves, through LiteRT, on examples that trained nothing."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from tfedge.core.context import Context
from tfedge.errors import InvariantBroken
from tfedge.files.files import write_text
from tfedge.files.parallel import cores
from tfedge.stages import advice, phases
from tfedge.stages.examples import examples_of, primary_of, work_of
from tfedge.tasks.paired import compared
from tfedge.tasks.streams import Stream, evaluation_split
from tfedge.tasks.task import Examples, Metric, Work
from tfedge.tflite.runtime import Pool, side_by_side

LOW_AGREEMENT = 0.8  # below it quantization changed more than rounding does
_WORKERS = 16  # each holds every phase in memory

Outputs = dict[str, np.ndarray]  # [N, …] of each phase, in their order


def run(ctx: Context) -> None:
    """Write metrics.json; the task says what stands in it for each model (``Work.measure``).

    ``float`` is float.tflite and ``int8`` the shipped model.tflite; when nothing was quantized
    ``float`` is the shipped file and all there is. ``phases`` compares every phase on the way
    there with the one before, see ``phases.table``.
    """
    config, work, metric = ctx.pipeline.evaluate, work_of(ctx), primary_of(ctx)
    if config is None:
        raise ValueError("evaluate is not in this pipeline")
    examples = examples_of(ctx)
    split = evaluation_split(examples)
    rows = examples.rows_of(split)
    targets = examples.targets(rows)

    files, workers = phases.files(ctx), max(1, min(cores(), len(rows), _WORKERS))
    pools = {name: Pool(ctx.inputs[file], workers) for name, file in files.items()}
    outputs = side_by_side(
        pools,
        Stream(examples, rows),
        progress=partial(ctx.progress.update, f"evaluate {', '.join(pools)}", unit="examples"),
    )
    for name, file in files.items():
        _check(work, outputs[name], examples, file)
    last = next(reversed(outputs))
    shipped = last if last == phases.INT8 else phases.FLOAT
    measured = {shipped: outputs[last]}
    if shipped == phases.INT8:
        measured = {phases.FLOAT: outputs[phases.FLOAT], **measured}
    history = json.loads(ctx.inputs["finetune/history.json"].read_text(encoding="utf-8"))
    result: dict[str, Any] = {
        "split": split,
        "n": len(rows),
        "chose_weights": history["chose_weights_on"] == split,
        "shipped": shipped,
        **work.settings(config, examples),
    }
    for name, found in measured.items():
        result[name] = work.measure(found, targets, examples, config)
    if len(measured) > 1:
        result["agreement"] = float(work.same(*measured.values()).mean())
    result["phases"] = phases.table(work, metric, outputs, targets)
    if config.robustness and work.corruptions():
        step = -(-len(rows) // config.robustness)  # rows are in the order of their files
        clean = {name: found[::step] for name, found in outputs.items() if name != phases.HEAD}
        result["robustness"] = _robustness(ctx, pools, examples, rows[::step], clean)
    result["worst"] = work.worst(outputs[last], examples, rows, config.worst)
    result["warnings"] = _warnings(work, metric, result, phases.recipe(ctx))
    changes = ctx.config["changes_examples"]
    result["proposals"] = advice.proposals(history, ctx.pipeline.finetune, changes, metric)
    for kind in ("warning", "proposal"):
        for text in result[f"{kind}s"]:
            ctx.progress.note(f"{kind}: {text}")
    write_text(ctx.out / "metrics.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def _robustness(
    ctx: Context, pools: dict[str, Pool], examples: Examples, rows: list[int], clean: Outputs
) -> dict[str, Any]:
    """The primary metric on examples made harder, each made once and shown to every phase in
    ``clean``.

    ``clean`` are the outputs for the examples as they are. Under the metric's own name stands the
    shipped file's; ``against_float`` says for each corruption what it loses more than the float
    model.
    """
    work, metric = work_of(ctx), primary_of(ctx)
    targets = examples.targets(rows)
    seeds = [int(key[:15], 16) for key in examples.keys(rows)]
    shown = {name: pools[name] for name in clean}
    found = {"none": clean}
    for name, corrupt in work.corruptions().items():

        def change(number: int, given: np.ndarray, corrupt: Any = corrupt) -> np.ndarray:
            changed: np.ndarray = corrupt(given, seeds[number])
            return changed

        found[name] = side_by_side(
            shown,
            Stream(examples, rows),
            change=change,
            progress=partial(ctx.progress.update, f"evaluate with {name}", unit="examples"),
        )
    models = {
        model: {name: work.primary(outputs[model], targets) for name, outputs in found.items()}
        for model in clean
    }
    last = next(reversed(clean))
    result = {"n": len(rows), metric.key: models[last], "models": models}
    if last != phases.FLOAT:
        result["against_float"] = {
            name: {
                "gap": metric.lost(models[last][name], models[phases.FLOAT][name]),
                **compared(
                    work.quality(outputs[phases.FLOAT], targets),
                    work.quality(outputs[last], targets),
                ),
            }
            for name, outputs in found.items()
        }
    return result


def _check(work: Work, outputs: np.ndarray, examples: Examples, file: str) -> None:
    problem = work.problem(outputs, examples)
    if problem is not None:
        raise InvariantBroken(f"outputs of {file}", *problem)


def _warnings(work: Work, metric: Metric, result: dict[str, Any], recipe: str) -> list[str]:
    found = []
    if result["chose_weights"]:
        found.append(
            f"the {result['split']} examples also chose the weights: their accuracy is a little "
            "too good; keep a test split to know it"
        )
    if result.get("agreement", 1.0) < LOW_AGREEMENT:
        found.append(
            f"int8 and float agree on {result['agreement']:.1%} of the examples only "
            f"(below {LOW_AGREEMENT:.0%}): quantization changed the model"
        )
    found += work.warnings(result)
    found += advice.lost_on_the_way(result["phases"], result["split"], recipe, metric)
    if "robustness" in result:
        last = result["phases"][-1]["phase"]
        found += advice.lost_robustness(result["robustness"], last, metric)
    return found
