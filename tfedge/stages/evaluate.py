"""Evaluate the exported files themselves, through LiteRT, on pictures that trained nothing."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from tfedge.core.context import Context
from tfedge.data.corruptions import CORRUPTIONS, Corrupted
from tfedge.data.files import write_text
from tfedge.data.index import Index
from tfedge.data.pictures import Pictures
from tfedge.errors import InvariantBroken
from tfedge.stages import metrics
from tfedge.stages.held_out import Stream, evaluation_split
from tfedge.tflite.runtime import predict

LOW_AGREEMENT = 0.8  # below it quantization changed more than rounding does


def run(ctx: Context) -> None:
    """Write metrics.json; see ``metrics.measure`` for what stands in it for each model.

    ``float`` is float.tflite and ``int8`` the shipped model.tflite; when nothing was quantized the
    shipped file is the float model and ``float`` is all there is.
    """
    config, data = ctx.pipeline.evaluate, ctx.pipeline.data
    if config is None:
        raise ValueError("evaluate is not in this pipeline")
    index = Index.load(ctx.inputs["data/index.json"])
    split = evaluation_split(index)
    rows = index.rows_of(split)
    labels = np.asarray(index.labels_of(rows))
    pictures = Pictures(index, ctx.data_root, ctx.cache, data.image_size, data.fit)

    scores = {}
    for name, file in _models(ctx).items():
        scores[name] = predict(
            ctx.inputs[file],
            Stream(pictures, rows),
            progress=partial(ctx.progress.update, f"evaluate {name}", unit="pictures"),
        )
        _check_scores(scores[name], len(index.classes), file)
    shipped = next(reversed(scores))
    top_k = min(config.top_k, len(index.classes))
    result: dict[str, Any] = {
        "split": split,
        "n": len(rows),
        "chose_weights": _chose_weights(ctx, split),
        "shipped": shipped,
        "top_k": top_k,
    }
    for name, found in scores.items():
        result[name] = metrics.measure(found, labels, index.classes, top_k)
    if len(scores) > 1:
        result["agreement"] = metrics.agreement(*scores.values())
    if config.robustness:
        step = -(-len(rows) // config.robustness)  # rows are in the order of classes
        result["robustness"] = _robustness(ctx, pictures, rows[::step], scores[shipped][::step])
    paths = [index.rows[row].path for row in rows]
    result["worst"] = metrics.worst(scores[shipped], labels, paths, index.classes, config.worst)
    result["warnings"] = _warnings(result, shipped)
    for warning in result["warnings"]:
        ctx.progress.note(f"warning: {warning}")
    write_text(ctx.out / "metrics.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def _robustness(
    ctx: Context, pictures: Pictures, rows: list[int], clean: np.ndarray
) -> dict[str, Any]:
    """Top-1 of the shipped file on pictures made harder; ``clean``: its scores as they are."""
    index = pictures.index
    labels = np.asarray(index.labels_of(rows))
    seeds = [int(index.rows[row].sha256[:15], 16) for row in rows]
    found = {"none": clean}
    for name in CORRUPTIONS:
        found[name] = predict(
            ctx.inputs["convert/model.tflite"],
            Corrupted(Stream(pictures, rows), name, seeds),
            progress=partial(ctx.progress.update, f"evaluate with {name}", unit="pictures"),
        )
    top1 = {name: float((scores.argmax(1) == labels).mean()) for name, scores in found.items()}
    return {"n": len(rows), "top1": top1}


def _models(ctx: Context) -> dict[str, str]:
    """Which file is evaluated under which name; the shipped one is the last."""
    model = json.loads(ctx.inputs["convert/model.json"].read_text(encoding="utf-8"))
    if model["recipe"] in ("qat", "ptq"):
        return {"float": "convert/float.tflite", "int8": "convert/model.tflite"}
    return {"float": "convert/model.tflite"}


def _check_scores(scores: np.ndarray, classes: int, file: str) -> None:
    if scores.ndim != 2 or scores.shape[1] != classes or not np.isfinite(scores).all():
        got = f"{list(scores.shape[1:])}{'' if np.isfinite(scores).all() else ', not all finite'}"
        raise InvariantBroken(f"scores of {file}", f"{classes} finite scores a picture", got)


def _chose_weights(ctx: Context, split: str) -> bool:
    history = json.loads(ctx.inputs["finetune/history.json"].read_text(encoding="utf-8"))
    return bool(history["chose_weights_on"] == split)


def _warnings(result: dict[str, Any], shipped: str) -> list[str]:
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
    empty = [row["class"] for row in result[shipped]["per_class"] if not row["support"]]
    if empty:
        found.append(f"no {result['split']} pictures of: {', '.join(empty)}")
    return found
