"""What a drop of a detector holds beside what every drop holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.inputs.images.anchors import anchors
from tfedge.portable.boxes import (
    ANCHORS,
    CODER,
    MOST,
    OVERLAP,
    THRESHOLDS,
    GoldenBoxes,
    boxes_file,
    boxes_of,
    same_boxes,
    thresholds_of,
)
from tfedge.tasks.classification.files import LABELS, class_facts, labels
from tfedge.tasks.contract import as_given, as_taken, by_name, taken_ports
from tfedge.tasks.drop import Check, Content, Parts
from tfedge.tasks.object_detection.copied import TEMPLATES
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.object_detection.script import NAME, example
from tfedge.tflite import reader

BOXES, SCORES = "boxes", "scores"
_GOLDEN = "golden"  # the folder of the pairs
# Of each target its script, what that computes with, and how it replays the golden pairs here.
_SCRIPTS = {
    "linux": (NAME, "", ("--check",)),
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


def thresholds(content: Content) -> list[float]:
    """The scores from which boxes count, in the order of the classes. DropError without any."""
    chosen = content.metrics.chosen if content.metrics is not None else None
    if not chosen or "thresholds" not in chosen:
        what = "the scores from which boxes count are not known"
        raise DropError(what, "evaluate chooses them: add an evaluate section")
    return [float(value) for value in chosen["thresholds"]]


def found_files(content: Content) -> dict[str, bytes]:
    """What makes boxes of outputs, in the drop and once more with its golden pairs, whose folder
    is brought to devices by itself; and the boxes of each pair."""
    lines = zip(content.facts["classes"], thresholds(content), strict=True)
    text = "".join(f"{value:.4f}\t{name}\n" for name, value in lines)
    files = {ANCHORS: content.beside[ANCHORS], THRESHOLDS: text.encode()}
    files |= {f"{_GOLDEN}/{name}": data for name, data in files.items()}
    rule, ports = _rule(files[ANCHORS], text), taken_ports(content.taken)
    for number, pair in enumerate(content.golden):
        found = rule.found(ports.real(pair.output))
        files[f"{_GOLDEN}/{number:03d}.boxes.bin"] = found.astype("<f4").tobytes()
    return files


def _rule(grid: bytes, text: str) -> GoldenBoxes:
    return GoldenBoxes(np.frombuffer(grid, "<f4").reshape(-1, 4), thresholds_of(text))


def golden_boxes(
    facts: Mapping[str, Any], file: Callable[[str], bytes]
) -> tuple[GoldenBoxes, list[np.ndarray]]:
    """The golden rule of a drop, and of each pair its boxes. LookupError, TypeError, ValueError or
    OSError for a drop of another kind."""
    rule = _rule(file(facts["output"]["anchors"]), file(THRESHOLDS).decode("utf-8"))
    return rule, [boxes_of(file(boxes_file(pair["output"]))) for pair in facts["golden"]]


def parts(target: str, content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, anchors, thresholds, example script and README of ``target``."""
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
        **found_files(content),
        "README.md": fill(TEMPLATES, f"{target}/README.md", **values),
        script: example(script, delegate),
    }
    return Parts(files, check=(script, *check), requirements=_REQUIREMENTS)


def check(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """That anchors, labels and thresholds fit the model."""
    _, count, width = manifest["output"]["shape"]
    names = manifest["classes"]
    lines = (folder / LABELS).read_text(encoding="utf-8").splitlines()
    rows = (folder / THRESHOLDS).read_text(encoding="utf-8").splitlines()
    problems = []
    if lines != names or width != 4 + len(lines):
        problems.append(f"{LABELS} has {len(lines)} classes, the model's scores {width - 4}")
    if [row.partition("\t")[2] for row in rows] != names:
        problems.append(f"{THRESHOLDS} names other classes")
    if not all(0 < float(row.partition("\t")[0]) < 1 for row in rows):
        problems.append(f"{THRESHOLDS} has scores that are not between 0 and 1")
    found = np.frombuffer((folder / ANCHORS).read_bytes(), "<f4")
    size = manifest["input"]["shape"][1]
    if not np.array_equal(found, anchors(size).ravel()):
        problems.append(f"{ANCHORS} is not what the model's {count:,} boxes differ from")
    problems += _golden_problems(folder, manifest) if not problems else []
    return [Check("boxes", f"{len(lines)} classes, {len(found) // 4:,} anchors", tuple(problems))]


def _golden_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with the boxes of the golden pairs: they are those of the pairs' outputs."""
    problems = [
        f"{_GOLDEN}/{name} is another than {name}"
        for name in (ANCHORS, THRESHOLDS)
        if (folder / _GOLDEN / name).read_bytes() != (folder / name).read_bytes()
    ]
    rule, boxes = golden_boxes(manifest, lambda name: (folder / name).read_bytes())
    ports = taken_ports(manifest["output"])
    for pair, told in zip(manifest["golden"], boxes, strict=True):
        stored = np.frombuffer((folder / pair["output"]).read_bytes(), ports.dtype)
        output = ports.real(stored.reshape(ports.shape[1:]))
        if len(told) > MOST or not same_boxes(told, rule.found(output)):
            problems.append(f"{boxes_file(pair['output'])}: not the boxes of {pair['output']}")
    return problems
