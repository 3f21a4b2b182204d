"""The drop for Android apps: the model with metadata in it, Kotlin that runs it, and its test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfedge.drops import manifest
from tfedge.drops.content import Content, contract
from tfedge.drops.make import LABELS, Parts, Target
from tfedge.drops.templates import template
from tfedge.drops.verify import verify
from tfedge.errors import DropError
from tfedge.portable.golden import TOLERANCE
from tfedge.tflite import metadata
from tfedge.tflite.metadata_schema import RGB, TENSOR_AXIS_LABELS
from tfedge.tflite.runtime import predict

LITERT = "2.3.2"  # of com.google.ai.edge.litert on Google's Maven, October 2026
SCORES = ("uint8", "int8", "float32")  # dtypes that the Kotlin can read

_KOTLIN = "Classifier", "CompiledEngine", "Engine", "InterpreterEngine", "Model", "Photo", "Pixels"
_VERSION_DIGITS = 12  # of the run key
_PARSER = "1.0.0"  # the oldest reader of metadata that knows all that is in it


def parts(content: Content) -> Parts:
    name, package = content.name, content.package.android.package
    given, taken = contract(content)
    if taken["dtype"] not in SCORES:
        known = ", ".join(SCORES)
        raise DropError(f"the model gives {taken['dtype']} scores, an app reads {known}")
    values = {
        "package": package,
        "name": name,
        "size": str(given["shape"][1]),
        "fit": content.fit.upper(),
        "classes": str(len(content.classes)),
        "scores": taken["dtype"].upper(),
        # float32 as Kotlin has it; as many digits as it takes to read the same number back
        "scale": str(np.float32(taken["scale"] or 1.0)),
        "zero_point": str(taken["zero_point"]),
        "golden": str(len(content.golden)),
        "litert": LITERT,
        "tolerance": f"{TOLERANCE:g}",
    }
    folder = package.replace(".", "/")
    model = f"assets/{name}.tflite"
    labels = "".join(f"{label}\n" for label in content.classes).encode("utf-8")
    files = {
        model: metadata.embed(content.model, describe(content), {LABELS: labels}),
        "README.md": template(
            "android/README.md",
            **values
            | {
                "fit": content.fit,
                "first": content.classes[0],
                "input": f"{given['dtype']} 0–255, {given['shape']}",
                "output": f"{taken['dtype']} {taken['shape']}",
            },
        ),
        "gradle/build.gradle.kts": template("android/build.gradle.kts", **values),
        "proguard-rules.pro": template("android/proguard-rules.pro"),
        f"androidTest/kotlin/{folder}/GoldenTest.kt": template("android/GoldenTest.kt", **values),
    }
    for part in _KOTLIN:
        files[f"kotlin/{folder}/{part}.kt"] = template(f"android/{part}.kt", **values)
    facts = {"android": {"package": package, "litert": LITERT}}
    return Parts(model, files, labels=f"assets/{LABELS}", facts=facts)


def describe(content: Content) -> dict[str, Any]:
    """The model's TFLite metadata; what is empty is left out, but a description there always is."""
    package = content.package
    given, taken = contract(content)
    _, height, width, _ = given["shape"]
    many = f"Tells which of {len(content.classes)} classes a picture shows."
    said = {
        "name": content.name,
        "description": package.description or many,
        "version": content.run_key[:_VERSION_DIGITS],
        "author": package.author,
        "license": package.licence,
        "min_parser_version": _PARSER,
    }
    size = {"width": width, "height": height}
    image = {
        "name": "image",
        "description": f"RGB pixels, {width}×{height}, 0 to 255, as they are: the model normalises "
        f"them itself. A picture becomes square by {given['fit']}.",
        "content": {
            "content_properties": {"ImageProperties": {"color_space": RGB, "default_size": size}}
        },
        "process_units": [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}],
        "stats": {"max": [255.0], "min": [0.0]},
    }
    labels = {
        "name": LABELS,
        "description": "The classes, in the order of the scores.",
        "type": TENSOR_AXIS_LABELS,
    }
    scores = {
        "name": "probability",
        "description": taken["meaning"],
        "content": {"content_properties": {"FeatureProperties": {}}},
        "stats": {"max": [1.0], "min": [0.0]},
        "associated_files": [labels],
    }
    graph = {"input_tensor_metadata": [image], "output_tensor_metadata": [scores]}
    return {key: text for key, text in said.items() if text} | {"subgraph_metadata": [graph]}


def _check(folder: Path) -> None:
    """What ``tfedge verify`` looks at, and bit by bit: the golden scores were made by the model
    without metadata, and metadata must not change it."""
    problems = [problem for check in verify(folder) for problem in check.problems]
    if problems:
        raise DropError(f"the drop does not hold: {'; '.join(problems)}")
    facts = manifest.load(folder)
    shape, dtype = facts["input"]["shape"][1:], facts["input"]["dtype"]
    pixels = [
        np.frombuffer((folder / pair["input"]).read_bytes(), dtype).reshape(shape)
        for pair in facts["golden"]
    ]
    found = predict(folder / facts["model"], np.stack(pixels), raw=True)
    expected = [(folder / pair["output"]).read_bytes() for pair in facts["golden"]]
    changed = sum(a.tobytes() != b for a, b in zip(found, expected, strict=True))
    if changed:
        raise DropError(f"with metadata in it, the model answers otherwise to {changed} pictures")


ANDROID = Target("android", parts, _check)
