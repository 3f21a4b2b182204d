"""Evaluate the exported files themselves, through LiteRT, on examples that trained nothing."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np

from tfedge.catalog.recipes import quantizing
from tfedge.core.context import Context
from tfedge.core.outputs import Evaluation, Gap, History, Robustness, read, write
from tfedge.errors import InvariantBroken
from tfedge.files.parallel import cores
from tfedge.pipeline.schema import head_kinds
from tfedge.stages import advice, phases
from tfedge.stages.examples import examples_of, primary_of, task_work
from tfedge.tasks.paired import compared
from tfedge.tasks.streams import Stream, evaluation_split
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Examples, Metric, Work
from tfedge.tflite.runtime import Pool, side_by_side

LOW_AGREEMENT = 0.8  # below it quantization changed more than rounding does
_WORKERS = 16  # each holds every phase in memory

Outputs = dict[str, np.ndarray]  # [N, …] of each phase, in their order


def run(ctx: Context) -> None:
    """Write metrics.json; the task says what stands in it for each model (``Work.measure``)."""
    config, work, metric = ctx.pipeline.evaluate, task_work(ctx), primary_of(ctx)
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
    quantized = last == phases.INT8
    before = phases.FLOAT if quantized else last
    plain = outputs[before]
    chosen = _chosen(ctx, {name: pools[name] for name in (before, last)}, examples)
    robustness = None
    if config.robustness and work.corruptions(examples):
        step = -(-len(rows) // config.robustness)  # rows are in the order of their files
        clean = {name: found[::step] for name, found in outputs.items() if name != phases.HEAD}
        robustness = _robustness(ctx, pools, examples, rows[::step], clean)
    history = read(ctx.inputs["finetune/history.json"], History)
    changes = ctx.config["changes_examples"]
    can_change = bool(task_of(ctx.pipeline.task).views)
    found = Evaluation(
        split=split,
        n=len(rows),
        chose_weights=history.chose_weights_on == split,
        shipped="int8" if quantized else "float",
        plain=work.measure(plain, targets, examples, config, chosen[before]),
        int8=(
            work.measure(outputs[last], targets, examples, config, chosen[last])
            if quantized
            else None
        ),
        chosen=chosen[last] or None,
        agreement=float(work.same(plain, outputs[last]).mean()) if quantized else None,
        phases=phases.table(work, metric, outputs, targets),
        robustness=robustness,
        worst=work.worst(outputs[last], examples, rows, config.worst, pools[last].answers),
        warnings=[],
        proposals=[
            *advice.proposals(
                history,
                ctx.pipeline.finetune,
                changes,
                metric,
                can_change,
                ctx.config["net_trains"],
                can_fit="logistic" in head_kinds(ctx.pipeline.task),
            ),
            *work.proposals(examples, ctx.pipeline.finetune),
        ],
        **work.settings(config, examples),
    )
    warnings = _warnings(work, metric, found, phases.recipe(ctx))
    for kind, texts in (("warning", warnings), ("proposal", found.proposals)):
        for text in texts:
            ctx.progress.note(f"{kind}: {text}")
    write(ctx.out / "metrics.json", found.model_copy(update={"warnings": warnings}))


def _chosen(ctx: Context, pools: dict[str, Pool], examples: Examples) -> dict[str, dict[str, Any]]:
    """What the task chooses for each model by the validation examples; empty where it does not."""
    work, rows = task_work(ctx), examples.rows_of("val")
    if not work.chooses:
        return {name: {} for name in pools}
    targets = examples.targets(rows)
    outputs = side_by_side(
        pools,
        Stream(examples, rows),
        progress=partial(ctx.progress.update, "validation examples", unit="examples"),
    )
    return {name: work.chosen(found, targets, examples) or {} for name, found in outputs.items()}


def _robustness(
    ctx: Context, pools: dict[str, Pool], examples: Examples, rows: list[int], clean: Outputs
) -> Robustness:
    """The primary metric on examples made harder, each made once and shown to every phase in
    ``clean``.

    ``clean`` are the outputs for the examples as they are.
    """
    work, metric = task_work(ctx), primary_of(ctx)
    targets = examples.targets(rows)
    seeds = [int(key[:15], 16) for key in examples.keys(rows)]
    shown = {name: pools[name] for name in clean}
    found = {"none": clean}
    for name, corrupt in work.corruptions(examples).items():

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
    shipped: dict[str, Any] = {metric.key: models[last]}
    if last == phases.FLOAT:
        return Robustness(n=len(rows), models=models, **shipped)
    shipped["trained_with"] = _trained_with(ctx, found)
    gaps = {}
    for name, outputs in found.items():
        quality = [work.quality(outputs[phase], targets) for phase in (phases.FLOAT, last)]
        gap = metric.lost(models[last][name], models[phases.FLOAT][name])
        gaps[name] = Gap(gap=gap, **dict(compared(*quality)))
    return Robustness(n=len(rows), models=models, against_float=gaps, **shipped)


def _trained_with(ctx: Context, corruptions: Collection[str]) -> list[str] | None:
    """The corruptions that a stage of this run showed examples with while it trained."""
    stages = ["prune", "cluster"]
    stages += ["quantize"] if quantizing(phases.recipe(ctx)).trains else []
    shown = any(ctx.config[f"{stage}.noise"] for stage in stages)
    noise = task_work(ctx).noise
    return [noise] if shown and noise in corruptions else None


def _check(work: Work, outputs: np.ndarray, examples: Examples, file: str) -> None:
    problem = work.problem(outputs, examples)
    if problem is not None:
        raise InvariantBroken(f"outputs of {file}", *problem)


def _warnings(work: Work, metric: Metric, evaluation: Evaluation, recipe: str) -> list[str]:
    found, agreement = [], evaluation.agreement
    if evaluation.chose_weights:
        found.append(
            f"the {evaluation.split} examples also chose the weights: their accuracy is a little "
            "too good; keep a test split to know it"
        )
    if agreement is not None and agreement < LOW_AGREEMENT:
        found.append(
            f"int8 and float agree on {agreement:.1%} of the examples only "
            f"(below {LOW_AGREEMENT:.0%}): quantization changed the model"
        )
    found += work.warnings(evaluation)
    found += advice.lost_on_the_way(evaluation.phases, evaluation.split, recipe, metric)
    if evaluation.robustness is not None:
        last = evaluation.phases[-1].phase
        found += advice.lost_robustness(evaluation.robustness, last, metric)
    return found
