"""What a model answers on this device: are the golden pairs still what was shipped, how many images
of a folder are named rightly, and which boxes are found?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.benchmark.script.image_inputs import Levels, image_input
from tfedge.benchmark.script.runtime import Model
from tfedge.portable.boxes import (
    ANCHORS,
    THRESHOLDS,
    GoldenBoxes,
    boxes_file,
    boxes_of,
    detections,
    thresholds_of,
)
from tfedge.portable.golden import difference
from tfedge.portable.precision import average_precisions, mean_average

TRUTH = "truth.json"  # in a folder of images with boxes: classes, least score, and a row an image
GRID = "anchors-{}.bin"  # likewise: of a model with so many


def replay_pairs(model: Model, folder: str) -> dict:
    """How the answers differ from those of ``NNN.input.bin`` and ``NNN.output.bin`` in a folder.

    ``failed`` counts the pairs that differ by more than machines may. ``max_difference`` is in the
    output's own numbers, and equal highest scores are all top-1; None for a model of several
    outputs. A detector's pairs have their boxes beside them, ``NNN.boxes.bin``, and what makes
    boxes of outputs. OSError or ValueError for files that are none of these.
    """
    identical = agree = 0
    failures = []
    differences = []
    inputs = sorted(Path(folder).glob("*.input.bin"))
    if not inputs:
        raise ValueError(f"{folder}: no golden pairs (NNN.input.bin, NNN.output.bin)")
    for path in inputs:
        given = np.fromfile(str(path), model.inputs[0]["dtype"])
        got = model.answer(given)
        output = path.with_name(path.name.replace(".input.bin", ".output.bin"))
        want = np.fromfile(str(output), got.dtype)
        if got.shape != want.shape:
            raise ValueError(f"{output}: {want.size} values to compare {got.size} with")
        identical += got.tobytes() == want.tobytes()
        agree += bool(want[got.argmax()] == want.max() or got[want.argmax()] == got.max())
        differences.append(float(np.abs(got.astype(float) - want.astype(float)).max()))
        told = differing(model, output, model.real(want), model.real(got))
        if told:
            failures.append(f"{output.name}: {told}")
    return {
        "pairs": len(inputs),
        "identical": identical,
        "failed": len(failures),
        "failure": failures[0] if failures else None,  # the first
        "top1_agree": agree if len(model.outputs) == 1 else None,
        "max_difference": max(differences) if np.isfinite(differences).all() else None,
    }


def differing(model: Model, output: Path, want: Any, got: Any) -> str:
    """How real answers differ by the golden rule: of scores, or of boxes and scores."""
    if [str(port.get("name", "")) for port in model.taken()] != ["boxes", "scores"]:
        return difference(*as_scores(want.ravel(), got.ravel()))
    anchors = np.fromfile(str(output.with_name(ANCHORS)), "<f4").reshape(len(want), 4)
    least = thresholds_of(output.with_name(THRESHOLDS).read_text(encoding="utf-8"))
    if len(least) != want.shape[1] - 4:
        raise ValueError(f"{THRESHOLDS}: {len(least)} scores for {want.shape[1] - 4} classes")
    boxes = boxes_of(output.with_name(boxes_file(output.name)).read_bytes())
    return GoldenBoxes(anchors, least).difference(want, got, boxes)


def as_scores(want: Any, got: Any) -> tuple[Any, Any]:
    """Both as the rule takes them, from 0 to 1: logits, which go beyond, through a softmax."""
    if want.min() >= -0.01 and want.max() <= 1.01:
        return want, got
    return softmax(want), softmax(got)


def softmax(values: Any) -> Any:
    """Scores that add up to 1."""
    with np.errstate(invalid="ignore"):  # what is no number stays none
        powers = np.exp(values.astype(np.float64) - values.max())
        return powers / powers.sum()


def accuracy_of(
    model: Model, folder: str, labels: str, fit: str, levels: Levels | None = None
) -> dict:
    """Top-1 on FOLDER/class/image; the order of the classes is that of a file, or alphabetic. Of
    images with boxes, which ``TRUTH`` lists, mean average precision."""
    if (Path(folder) / TRUTH).is_file():
        return precision_of(model, Path(folder), fit, levels)
    files = sorted(path for path in Path(folder).glob("*/*") if path.is_file())
    found = {path.parent.name for path in files}
    classes = sorted(found)
    if labels:
        classes = Path(labels).read_text(encoding="utf-8").strip().splitlines()
    unknown = sorted(found - set(classes))
    scores = int(np.prod(model.outputs[0]["shape"]))
    if not files or unknown or len(classes) != scores:
        raise ValueError(
            f"{folder}: {len(files)} images of {len(classes)} classes, the model has {scores}; "
            f"folders that are no class: {', '.join(unknown) or '-'}"
        )
    right = 0
    for path in files:
        answer = model.answer(image_input(model, path, fit, levels))
        right += int(answer.argmax() == classes.index(path.parent.name))
    return {"top1": right / len(files), "n": len(files), "classes": len(classes)}


def precision_of(model: Model, folder: Path, fit: str, levels: Levels | None) -> dict:
    """Mean average precision on the images of a folder that ``tfedge bench`` has laid out: what is
    on each in ``TRUTH``, as the model sees it, and the anchors in ``GRID``."""
    told = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
    count, classes = int(model.taken()[0]["shape"][1]), len(told["classes"])
    widths = [int(port["shape"][-1]) for port in model.taken()]
    file = folder / GRID.format(count)
    if widths != [4, classes] or not file.is_file():
        raise ValueError(f"{folder}: it is for {classes} classes, the model gives {widths}")
    anchors = np.fromfile(str(file), "<f4").reshape(count, 4)
    found, truth = [], []
    for row in told["images"]:
        given = image_input(model, folder / row["file"], fit, levels)
        real = model.real(model.answer(given)).reshape(count, 4 + classes)
        found.append(detections(real[:, :4], real[:, 4:], anchors, told["least"]))
        boxes = np.array(row["boxes"], np.float64).reshape(-1, 6)
        truth.append((boxes[:, :4], boxes[:, 4].astype(int), boxes[:, 5] > 0))
    map50, average = mean_average(average_precisions(found, truth, classes))
    boxes_in_all = sum(int((~ignored).sum()) for _, _, ignored in truth)
    sizes = {"n": len(found), "boxes": boxes_in_all, "classes": classes}
    return {"map50": map50, "map": average, **sizes}


def told_pairs(golden: dict) -> str:
    """In words, in how many golden pairs the answer is the same."""
    same = golden["top1_agree"]
    return f"{golden['failed']} differ" if same is None else f"the same top-1 in {same}"


def told_accuracy(accuracy: dict) -> str:
    """In words, what ``accuracy_of`` found."""
    if "map50" in accuracy:
        parts = "mAP@.5 {:.1f} %, mAP@.5:.95 {:.1f} %".format(
            100 * accuracy["map50"], 100 * accuracy["map"]
        )
        return f"{parts} of {accuracy['boxes']} boxes on {accuracy['n']} images"
    share = f"{100 * accuracy['top1']:.1f} %"
    return f"top-1 {share} of {accuracy['n']} images, {accuracy['classes']} classes"
