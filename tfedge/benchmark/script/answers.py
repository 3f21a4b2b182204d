"""What a model answers on this device: are the golden pairs still what was shipped, and how many
images of a folder are named rightly?"""

from __future__ import annotations

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
    thresholds_of,
)
from tfedge.portable.golden import difference


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
    """Top-1 on FOLDER/class/image; the order of the classes is that of a file, or alphabetic."""
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


def told_pairs(golden: dict) -> str:
    """In words, in how many golden pairs the answer is the same."""
    same = golden["top1_agree"]
    return f"{golden['failed']} differ" if same is None else f"the same top-1 in {same}"


def told_accuracy(accuracy: dict) -> str:
    """In words, what ``accuracy_of`` found."""
    share = f"{100 * accuracy['top1']:.1f} %"
    return f"top-1 {share} of {accuracy['n']} images, {accuracy['classes']} classes"
