"""An image classifier in an Android app: its Kotlin, and its TFLite metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.tasks.classification import kotlin
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.drop import Check, Content, Metadata, Parts
from tfedge.tasks.image_classification.copied import TEMPLATES
from tfedge.tflite.metadata_schema import RGB

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
    given, taken, levels = content.given, content.taken, content.given.get("levels")
    values = {
        **told,
        **kotlin.values(content, SCORES),
        "size": str(given["shape"][1]),
        "fit": given["fit"].upper(),
        "levels": "intArrayOf({}, {})".format(*levels) if levels else "null",
    }
    readme = {
        "how": given["fit"],
        "deep": _DEEP.format(*levels) if levels else "",
        "first": content.facts["classes"][0],
        "shown": content.golden_told,
        "input": f"{given['dtype']} 0–255, {given['shape']}",
        "output": f"{taken['dtype']} {taken['shape']}",
    }
    files = kotlin.files(content, TEMPLATES, _KOTLIN, values, readme)
    return Parts(files, metadata=describe(content))


def describe(content: Content) -> Metadata:
    """What readers of TFLite metadata need to feed the model and to name its scores."""
    given = content.given
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
    many = f"Tells which of {len(content.facts['classes'])} classes an image shows."
    return Metadata(
        many, [image], [kotlin.described_scores(content.taken)], {LABELS: labels(content)}
    )


def check(folder: Path, manifest: Mapping[str, Any]) -> Check:
    """That the model's metadata says what the manifest says."""
    said = kotlin.found_metadata((folder / manifest["model"]).read_bytes(), manifest["model"])
    if said is None:
        return Check("metadata", "", ("the model carries no TFLite metadata",))
    found, files = said
    graph = found["subgraph_metadata"][0]
    image = graph["input_tensor_metadata"][0]
    size = image["content"]["content_properties"]["ImageProperties"]["default_size"]
    units = [unit["options"].get("NormalizationOptions") for unit in image["process_units"]]
    problems = kotlin.labels_problems(graph, files, manifest)
    if [1, size["height"], size["width"], 3] != manifest["input"]["shape"]:
        problems.append(f"its metadata says {size}, the manifest {manifest['input']['shape']}")
    if units != [{"mean": [0.0], "std": [1.0]}]:
        problems.append(f"its metadata asks for a normalisation, {units}: pixels go in as they are")
    named = f"{found.get('name', 'no name')}, {len(manifest['classes'])} labels"
    return Check("metadata", named, tuple(problems))
