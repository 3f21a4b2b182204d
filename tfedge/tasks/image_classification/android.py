"""An image classifier in an Android app: its Kotlin, and its TFLite metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.pipeline.packages import in_kotlin
from tfedge.portable.golden import TOLERANCE
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.drop import Check, Content, Metadata, Parts
from tfedge.tasks.image_classification.copied import TEMPLATES
from tfedge.tflite import metadata
from tfedge.tflite.metadata_schema import RGB, TENSOR_AXIS_LABELS

SCORES = ("uint8", "int8", "float32")  # dtypes that the Kotlin can read

_KOTLIN = (
    *("Classifier", "CompiledEngine", "Deep", "Engine", "InterpreterEngine", "Model", "Photo"),
    "Pixels",
)
# Of the README, where levels were set in training.
_DEEP = """Of PNG files of 16 bits the levels {} to {} become 0 to 255, as in training (`Deep`).
That takes the file's bytes, `classify(photo)`: a bitmap of such a file has the upper 8 bits alone.

"""


def parts(content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, Kotlin with its test, README and metadata. DropError when the Kotlin can't read the
    model's scores."""
    given, taken, classes = content.given, content.taken, content.facts["classes"]
    if taken["dtype"] not in SCORES:
        known = ", ".join(SCORES)
        raise DropError(f"the model gives {taken['dtype']} scores, an app reads {known}")
    package, levels = content.package.android.package, given.get("levels")
    values = {
        **told,
        "package": in_kotlin(package),
        "name": content.name,
        "size": str(given["shape"][1]),
        "fit": given["fit"].upper(),
        "levels": "intArrayOf({}, {})".format(*levels) if levels else "null",
        "classes": str(len(classes)),
        "scores": taken["dtype"].upper(),
        # float32 as Kotlin has it; as many digits as it takes to read the same number back
        "scale": str(np.float32(taken["scale"] or 1.0)),
        "zero_point": str(taken["zero_point"]),
        "golden": str(len(content.golden)),
        "tolerance": f"{TOLERANCE:g}",
    }
    readme = values | {
        "fit": given["fit"],
        "deep": _DEEP.format(*levels) if levels else "",
        "first": classes[0],
        "shown": content.golden_told,
        "input": f"{given['dtype']} 0–255, {given['shape']}",
        "output": f"{taken['dtype']} {taken['shape']}",
    }
    folder = package.replace(".", "/")
    files = {
        f"assets/{LABELS}": labels(content),
        "README.md": fill(TEMPLATES, "android/README.md", **readme),
        f"androidTest/kotlin/{folder}/GoldenTest.kt": fill(
            TEMPLATES, "android/GoldenTest.kt", **values
        ),
    }
    for part in _KOTLIN:
        files[f"kotlin/{folder}/{part}.kt"] = fill(TEMPLATES, f"android/{part}.kt", **values)
    return Parts(files, metadata=describe(content))


def describe(content: Content) -> Metadata:
    """What readers of TFLite metadata need to feed the model and to name its scores."""
    given, taken = content.given, content.taken
    _, height, width, _ = given["shape"]
    size = {"width": width, "height": height}
    image = {
        "name": "image",
        "description": f"RGB pixels, {width}×{height}, 0 to 255, as they are: the model normalises "
        f"them itself. An image becomes square by {given['fit']}.",
        "content": {
            "content_properties": {"ImageProperties": {"color_space": RGB, "default_size": size}}
        },
        "process_units": [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}],
        "stats": {"max": [255.0], "min": [0.0]},
    }
    names = {
        "name": LABELS,
        "description": "The classes, in the order of the scores.",
        "type": TENSOR_AXIS_LABELS,
    }
    scores = {
        "name": "probability",
        "description": taken["meaning"],
        "content": {"content_properties": {"FeatureProperties": {}}},
        "stats": {"max": [1.0], "min": [0.0]},
        "associated_files": [names],
    }
    many = f"Tells which of {len(content.facts['classes'])} classes an image shows."
    return Metadata(many, [image], [scores], {LABELS: labels(content)})


def check(folder: Path, manifest: Mapping[str, Any]) -> Check:
    """That the model's metadata says what the manifest says."""
    model = (folder / manifest["model"]).read_bytes()
    found = metadata.read(model, manifest["model"])
    if found is None:
        return Check("metadata", "", ("the model carries no TFLite metadata",))
    graph = found["subgraph_metadata"][0]
    image, scores = graph["input_tensor_metadata"][0], graph["output_tensor_metadata"][0]
    size = image["content"]["content_properties"]["ImageProperties"]["default_size"]
    units = [unit["options"].get("NormalizationOptions") for unit in image["process_units"]]
    (names,) = [entry["name"] for entry in scores["associated_files"]]
    lines = metadata.associated(model, manifest["model"])[names].decode("utf-8").splitlines()
    problems = []
    if [1, size["height"], size["width"], 3] != manifest["input"]["shape"]:
        problems.append(f"its metadata says {size}, the manifest {manifest['input']['shape']}")
    if units != [{"mean": [0.0], "std": [1.0]}]:
        problems.append(f"its metadata asks for a normalisation, {units}: pixels go in as they are")
    if lines != manifest["classes"]:
        problems.append("the labels in its metadata are not those of the manifest")
    return Check(
        "metadata", f"{found.get('name', 'no name')}, {len(lines)} labels", tuple(problems)
    )
