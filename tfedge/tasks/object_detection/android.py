"""A detector in an Android app: its Kotlin, and metadata by which MediaPipe takes it, too."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.portable.boxes import ANCHORS, CODER, SAME_BOX, THRESHOLDS
from tfedge.tasks import kotlin
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.classification.kotlin import described_labels, labels_problems
from tfedge.tasks.drop import Check, Content, Metadata, Parts
from tfedge.tasks.object_detection.copied import TEMPLATES
from tfedge.tasks.object_detection.files import (
    BOXES,
    CUSTOM,
    SCORES,
    golden_files,
    listed,
    threshold_lines,
    thresholds,
)
from tfedge.tflite import front, metadata, reader
from tfedge.tflite.metadata_schema import BOUNDARIES, DETECTOR, DETECTOR_IDENTIFIER
from tfedge.tflite.model import Model, Signature

FIT = "stretch"  # how MediaPipe makes an image square
MEDIAPIPE_OVERLAP = 0.3  # IoU above which the lower of two boxes goes there, of whatever classes
STORED = ("uint8", "float32")  # dtypes that MediaPipe and the Kotlin can read

_VERSION = "1.0.0"  # of its schema
_NAMES = {BOXES: "location", SCORES: "score"}  # of the outputs, which MediaPipe goes by
_WIDTH = 100  # of the README
_OWN = kotlin.Source(
    TEMPLATES,
    (
        *("Boxes", "CompiledEngine", "Detection", "Detector", "Engine", "InterpreterEngine"),
        "Model",
    ),
    ("GoldenRule", "GoldenTest"),
)


def fitting(content: Content) -> Content:
    """With the anchors where an app has its assets, and what must be known of MediaPipe. DropError
    for a model that is not asked as MediaPipe asks it."""
    if (fit := content.given["fit"]) != FIT:
        what = f"an image becomes square by {fit}, and MediaPipe asks the model by {FIT}"
        raise DropError(what, f"data.fit: {FIT}, or package.targets without android")
    return replace(
        content,
        taken={**content.taken, "anchors": f"{kotlin.ASSETS}/{content.taken['anchors']}"},
        facts={
            **content.facts,
            "measured": kotlin.measured_facts(content.model),
            "mediapipe": {"class_agnostic": True, "overlap": MEDIAPIPE_OVERLAP},
        },
    )


def told_of_mediapipe(content: Content) -> str:
    """What MediaPipe does otherwise, in sentences for card and README."""
    least = min(thresholds(content))
    return (
        "MediaPipe's `ObjectDetector` takes the model, too, by its metadata, with other boxes in "
        f"the end: of two boxes whose IoU is above {MEDIAPIPE_OVERLAP:g} it keeps the better one, "
        "whatever their classes are (of two things of different classes that overlap one is lost); "
        "it has one score threshold for all classes, which the app must set (the lowest of this "
        f"model's is {least:.2f}); it shrinks photos without averaging, and does not cut boxes at "
        "the edge of the image."
    )


def parts(content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, anchors, thresholds, Kotlin with its test, README and metadata. DropError when the
    outputs can't be read."""
    taken = content.taken
    values = {
        **told,
        **kotlin.values(content, STORED, "boxes and scores"),
        **kotlin.of_images(content, "detect"),
        **_ports(content),
        "anchors": str(taken["shape"][1]),
        "coder": ", ".join(f"{factor:g}f" for factor in taken["coder"]),
        "overlap": f"{taken['overlap']:g}",
        "same_box": f"{SAME_BOX:g}",
        "first": content.facts["classes"][0],
        "shown": content.golden_told,
        "output": taken["dtype"],
        "mediapipe": textwrap.fill(told_of_mediapipe(content), _WIDTH),
    }
    files = {
        f"{kotlin.ASSETS}/{LABELS}": labels(content),
        taken["anchors"]: content.beside[ANCHORS],
        f"{kotlin.ASSETS}/{THRESHOLDS}": threshold_lines(content),
        **golden_files(content),
        **kotlin.files(content, [kotlin.IMAGES, _OWN], values),
    }
    return Parts(files, metadata=_describe(content))


def _ports(content: Content) -> dict[str, str]:
    """What the model's signature calls its input and outputs, and how these are stored."""
    found = reader.read(content.model)
    signature, names = _signature(found)
    told = {"signature": signature.key, "input_name": signature.inputs[0][0]}
    for part in content.taken["parts"]:
        told |= {
            f"{part['name']}_name": names[part["name"]],
            # float32 as Kotlin has it; as many digits as it takes to read the same number back
            f"{part['name']}_scale": str(np.float32(part["scale"] or 1.0)),
            f"{part['name']}_zero_point": str(part["zero_point"]),
        }
    return told


def _signature(model: Model) -> tuple[Signature, dict[str, str]]:
    """The only signature of a model, and its names of the outputs by these' own. DropError."""
    if len(model.signatures) == 1:
        (signature,) = model.signatures
        names = {index: name for name, index in signature.outputs}
        if all(one.index in names for one in model.outputs) and len(signature.inputs) == 1:
            return signature, {one.name: names[one.index] for one in model.outputs}
    count = len(model.signatures)
    raise DropError(f"an app asks by a signature that names all outputs: the model has {count}")


def _describe(content: Content) -> Metadata:
    """What readers of TFLite metadata need to feed the model and to make boxes of what it gives."""
    said: dict[str, dict[str, Any]] = {
        BOXES: {
            "description": "Of each anchor ty tx th tw, how its box differs from it.",
            "content": {"content_properties": {"BoundingBoxProperties": {"type": BOUNDARIES}}},
        },
        SCORES: {
            "description": "Of each anchor a score for each class, in the order of classes.",
            "content": {"content_properties": {"FeatureProperties": {}}},
            "stats": {"max": [1.0], "min": [0.0]},
            "associated_files": [described_labels()],
        },
    }
    outputs = reader.read(content.model).outputs
    return Metadata(
        f"Finds where on an image things of {len(content.facts['classes'])} classes are.",
        [kotlin.described_image(content.given)],
        [{"name": _NAMES[one.name], **said[one.name]} for one in outputs],
        {LABELS: labels(content)},
        custom={CUSTOM: metadata.write(_decoding(content), DETECTOR, DETECTOR_IDENTIFIER)},
    )


def _decoding(content: Content) -> dict[str, Any]:
    """How MediaPipe makes boxes: the anchors, one by one, and the coder of SSD."""
    _, count, _ = content.taken["shape"]
    return _said_of(
        np.frombuffer(content.beside[ANCHORS], "<f4").reshape(count, 4),
        len(content.facts["classes"]),
    )


def _said_of(anchors: np.ndarray, classes: int) -> dict[str, Any]:
    sides = ("x_center", "y_center", "width", "height")
    rows = [dict(zip(sides, row, strict=True)) for row in anchors.tolist()]
    y, x, h, w = CODER
    return {
        "min_parser_version": _VERSION,
        "ssd_anchors_options": {"fixed_anchors_schema": {"anchors": rows}},
        "tensors_decoding_options": {
            "num_classes": classes,
            "num_boxes": len(rows),
            "num_coords": 4,
            "num_values_per_keypoint": 2,
            **{"x_scale": x, "y_scale": y, "w_scale": w, "h_scale": h},
            "apply_exponential_on_box_size": True,
        },
    }


def check(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """That the model's metadata says what the manifest and the anchors say, and that the measured
    file lies in it as it was."""
    model = (folder / manifest["model"]).read_bytes()
    measured = kotlin.measured_in(manifest, model, _against_measured)
    problems = partial(_problems, folder, manifest, model)
    return [kotlin.metadata_check(manifest, model, problems), measured]


def _against_measured(model: bytes, measured: bytes) -> list[str]:
    """How what the model computes differs from what the measured file does."""
    return front.differences(reader.read(measured), reader.read(model))


def _problems(
    folder: Path,
    manifest: Mapping[str, Any],
    model: bytes,
    graph: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> list[str]:
    """What is wrong with what the metadata say."""
    outputs, name = graph["output_tensor_metadata"], manifest["model"]
    problems = kotlin.image_problems(graph, manifest)
    wanted = [_NAMES.get(one.name) for one in reader.read(model).outputs]
    if (called := [output["name"] for output in outputs]) != wanted:
        problems.append(f"its metadata calls the outputs {', '.join(called)}")
    (scores,) = [output for output in outputs if output["name"] == _NAMES[SCORES]]
    problems += labels_problems(scores, files, manifest)
    custom = {entry["name"]: entry["data"] for entry in graph.get("custom_metadata", ())}
    if CUSTOM not in custom:
        problems.append(f"its metadata has no {CUSTOM}, which MediaPipe asks for")
    else:
        made = metadata.unpacked(custom[CUSTOM], name, DETECTOR, DETECTOR_IDENTIFIER)
        rows = np.frombuffer(listed(folder, manifest, ANCHORS), "<f4").reshape(-1, 4)
        if made != _said_of(rows, len(manifest["classes"])):
            problems.append("the anchors or the coder in its metadata are not those of the drop")
    return problems
