"""What a drop of a detector holds beside what every drop holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.inputs.images.anchors import anchors
from tfedge.portable.boxes import ANCHORS, CODER, OVERLAP, THRESHOLDS
from tfedge.tasks.classification.files import LABELS, class_facts, labels
from tfedge.tasks.contract import as_given, as_taken, by_name
from tfedge.tasks.drop import Check, Content, Parts
from tfedge.tasks.object_detection import android
from tfedge.tasks.object_detection.copied import TEMPLATES
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.files import (
    BOXES,
    SCORES,
    golden_files,
    golden_problems,
    listed,
    text_of,
    threshold_lines,
)
from tfedge.tasks.object_detection.script import EXAMPLE
from tfedge.tflite import reader

# Of each target its script, what that computes with, and how it replays the golden pairs here.
_SCRIPTS = {
    "linux": (EXAMPLE.name, "", ("--check",)),
    "coral": ("detect_coral.py", "edgetpu", ("--check", "--cpu")),
}
_REQUIREMENTS = ("pillow>=8.0",)


def contract(model: bytes, examples: BoxedImages) -> tuple[dict[str, Any], dict[str, Any]]:
    """uint8 [1, S, S, 3] RGB in; ``boxes`` [1, A, 4] and ``scores`` [1, A, classes] out, found by
    their names. DropError for any other model."""
    found = reader.read(model)
    size, fit = examples.images.size, examples.images.fit
    wanted = [(BOXES, (1, len(anchors(size)), 4))]
    wanted.append((SCORES, (1, len(anchors(size)), len(examples.classes))))
    inputs = [(one.dtype, one.shape) for one in found.inputs]
    if inputs != [("uint8", (1, size, size, 3))]:
        told = ", ".join(f"{dtype} {list(shape)}" for dtype, shape in inputs)
        raise DropError(f"the model takes {told}, a drop needs uint8 [1, {size}, {size}, 3]")
    outputs = by_name(found.outputs)
    if [(one.name, one.shape) for one in outputs] != wanted:
        told = ", ".join(f"{one.name} {list(one.shape)}" for one in outputs)
        needs = ", ".join(f"{name} {list(shape)}" for name, shape in wanted)
        raise DropError(f"the model gives {told}, a drop needs {needs}")
    given = as_given(found.inputs) | {
        "layout": "NHWC",
        "color": "RGB",
        "range": [0, 255],
        "fit": fit,
    }
    if examples.images.levels is not None:
        given["levels"] = list(examples.images.levels)
    meaning = "of each anchor ty tx th tw and a score for each class, in the order of classes"
    taken = as_taken(found.outputs) | {
        "meaning": meaning,
        "anchors": ANCHORS,
        "coder": list(CODER),
        "overlap": OVERLAP,
    }
    return given, taken


def facts(examples: BoxedImages) -> dict[str, Any]:
    """The manifest's ``classes``. DropError for names that can't stand on a line each."""
    return class_facts(examples.classes)


def beside(examples: BoxedImages) -> dict[str, bytes]:
    """The anchors: float32, little-endian, cx cy w h of each."""
    return {ANCHORS: anchors(examples.images.size).astype("<f4").tobytes()}


def parts(target: str, content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, anchors, thresholds, example script and README of ``target``; for Android the Kotlin
    and metadata."""
    if target == "android":
        return android.parts(content, told)
    given, taken = content.given, content.taken
    values = {
        **told,
        "name": content.name,
        "dtype": given["dtype"],
        "shape": str(given["shape"]),
        "input": f"{given['dtype']} 0–255, {given['shape']}",
        "output": taken["dtype"],
        "out": taken["dtype"],
        "anchors": str(taken["shape"][1]),
        "fit": given["fit"],
        "shown": content.golden_told,
    }
    script, delegate, check = _SCRIPTS[target]
    files = {
        LABELS: labels(content),
        ANCHORS: content.beside[ANCHORS],
        THRESHOLDS: threshold_lines(content),
        **golden_files(content),
        "README.md": fill(TEMPLATES, f"{target}/README.md", **values),
        script: EXAMPLE.text(script, delegate),
    }
    return Parts(files, check=(script, *check), requirements=_REQUIREMENTS)


def check(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """That anchors, labels and thresholds fit the model; of an Android drop its metadata, too."""
    found = [_boxes(folder, manifest)]
    if manifest.get("target") == "android":
        found += android.check(folder, manifest)
    return found


def _boxes(folder: Path, manifest: Mapping[str, Any]) -> Check:
    _, count, width = manifest["output"]["shape"]
    names = manifest["classes"]
    called, rows = (text_of(folder, manifest, name) for name in (LABELS, THRESHOLDS))
    problems = []
    if called != names or width != 4 + len(called):
        problems.append(f"{LABELS} has {len(called)} classes, the model's scores {width - 4}")
    if [row.partition("\t")[2] for row in rows] != names:
        problems.append(f"{THRESHOLDS} names other classes")
    if not all(0 < float(row.partition("\t")[0]) < 1 for row in rows):
        problems.append(f"{THRESHOLDS} has scores that are not between 0 and 1")
    found = np.frombuffer(listed(folder, manifest, ANCHORS), "<f4")
    size = manifest["input"]["shape"][1]
    if not np.array_equal(found, anchors(size).ravel()):
        problems.append(f"{ANCHORS} is not what the model's {count:,} boxes differ from")
    problems += golden_problems(folder, manifest) if not problems else []
    return Check("boxes", f"{len(called)} classes, {len(found) // 4:,} anchors", tuple(problems))
