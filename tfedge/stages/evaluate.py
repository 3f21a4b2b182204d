"""Evaluate the exported files themselves, through LiteRT, on images that trained nothing."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from tfedge.core.context import Context
from tfedge.data.index import Index
from tfedge.errors import InvariantBroken
from tfedge.files.files import write_text
from tfedge.files.parallel import cores
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.pictures import Pictures
from tfedge.stages import advice, metrics, phases
from tfedge.stages.held_out import Stream, evaluation_split
from tfedge.stages.images import images_of
from tfedge.tflite.runtime import Pool, side_by_side

LOW_AGREEMENT = 0.8  # below it quantization changed more than rounding does
_WORKERS = 16  # each holds every phase in memory

Scores = dict[str, np.ndarray]  # [N, classes] of each phase, in their order


def run(ctx: Context) -> None:
    """Write metrics.json; see ``metrics.measure`` for what stands in it for each model.

    ``float`` is float.tflite and ``int8`` the shipped model.tflite; when nothing was quantized
    ``float`` is the shipped file and all there is. ``phases`` compares every phase on the way
    there with the one before, see ``phases.table``.
    """
    config, data = ctx.pipeline.evaluate, ctx.pipeline.data
    if config is None:
        raise ValueError("evaluate is not in this pipeline")
    index = Index.load(ctx.inputs["data/index.json"])
    split = evaluation_split(index)
    rows = index.rows_of(split)
    labels = np.asarray(index.labels_of(rows))
    images = images_of(ctx, index)

    files, workers = phases.files(ctx), max(1, min(cores(), len(rows), _WORKERS))
    pools = {name: Pool(ctx.inputs[file], workers) for name, file in files.items()}
    scores = side_by_side(
        pools,
        Stream(images, rows),
        progress=partial(ctx.progress.update, f"evaluate {', '.join(pools)}", unit="images"),
    )
    for name, file in files.items():
        check_scores(scores[name], len(index.classes), file)
    last = next(reversed(scores))
    shipped = last if last == phases.INT8 else phases.FLOAT
    measured = {shipped: scores[last]}
    if shipped == phases.INT8:
        measured = {phases.FLOAT: scores[phases.FLOAT], **measured}
    history = json.loads(ctx.inputs["finetune/history.json"].read_text(encoding="utf-8"))
    top_k = min(config.top_k, len(index.classes))
    result: dict[str, Any] = {
        "split": split,
        "n": len(rows),
        "chose_weights": history["chose_weights_on"] == split,
        "shipped": shipped,
        "top_k": top_k,
    }
    for name, found in measured.items():
        result[name] = metrics.measure(found, labels, index.classes, top_k)
    if len(measured) > 1:
        result["agreement"] = metrics.agreement(*measured.values())
    result["phases"] = phases.table(scores, labels)
    if config.robustness:
        step = -(-len(rows) // config.robustness)  # rows are in the order of classes
        clean = {name: found[::step] for name, found in scores.items() if name != phases.HEAD}
        result["robustness"] = _robustness(ctx, pools, images, rows[::step], clean)
    paths = [index.rows[row].path for row in rows]
    result["worst"] = metrics.worst(scores[last], labels, paths, index.classes, config.worst)
    result["warnings"] = _warnings(result, phases.recipe(ctx))
    result["proposals"] = advice.proposals(history, ctx.pipeline.finetune, data.augment)
    for kind in ("warning", "proposal"):
        for text in result[f"{kind}s"]:
            ctx.progress.note(f"{kind}: {text}")
    write_text(ctx.out / "metrics.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def _robustness(
    ctx: Context, pools: dict[str, Pool], images: Pictures, rows: list[int], clean: Scores
) -> dict[str, Any]:
    """Top-1 on images made harder, each made once and shown to every phase in ``clean``.

    ``clean`` are the scores on the images as they are. ``top1`` is the shipped file's;
    ``against_float`` says for each corruption what it loses more than the float model.
    """
    index = images.index
    labels = np.asarray(index.labels_of(rows))
    seeds = [int(index.rows[row].sha256[:15], 16) for row in rows]
    shown = {name: pools[name] for name in clean}
    found = {"none": clean}
    for name, corrupt in CORRUPTIONS.items():

        def change(number: int, pixels: np.ndarray, corrupt: Any = corrupt) -> np.ndarray:
            changed: np.ndarray = corrupt(pixels, seeds[number])
            return changed

        found[name] = side_by_side(
            shown,
            Stream(images, rows),
            change=change,
            progress=partial(ctx.progress.update, f"evaluate with {name}", unit="images"),
        )
    models = {
        model: {
            name: float((scores[model].argmax(1) == labels).mean())
            for name, scores in found.items()
        }
        for model in clean
    }
    last = next(reversed(clean))
    result = {"n": len(rows), "top1": models[last], "models": models}
    if last != phases.FLOAT:
        result["against_float"] = {
            name: {
                "gap": models[last][name] - models[phases.FLOAT][name],
                **metrics.compared(scores[phases.FLOAT], scores[last], labels),
            }
            for name, scores in found.items()
        }
    return result


def check_scores(scores: np.ndarray, classes: int, file: str) -> None:
    """InvariantBroken unless these are [N, ``classes``] finite scores; ``file`` gave them."""
    if scores.ndim != 2 or scores.shape[1] != classes or not np.isfinite(scores).all():
        got = f"{list(scores.shape[1:])}{'' if np.isfinite(scores).all() else ', not all finite'}"
        raise InvariantBroken(f"scores of {file}", f"{classes} finite scores a picture", got)


def _warnings(result: dict[str, Any], recipe: str) -> list[str]:
    found = []
    if result["chose_weights"]:
        found.append(
            f"the {result['split']} pictures also chose the weights: their accuracy is a little "
            "too good; keep a test split to know it"
        )
    if result.get("agreement", 1.0) < LOW_AGREEMENT:
        found.append(
            f"int8 and float agree on {result['agreement']:.1%} of the pictures only "
            f"(below {LOW_AGREEMENT:.0%}): quantization changed the model"
        )
    empty = [row["class"] for row in result[result["shipped"]]["per_class"] if not row["support"]]
    if empty:
        found.append(f"no {result['split']} pictures of: {', '.join(empty)}")
    found += advice.lost_on_the_way(result["phases"], result["split"], recipe)
    if "robustness" in result:
        found += advice.lost_robustness(result["robustness"], result["phases"][-1]["phase"])
    return found
