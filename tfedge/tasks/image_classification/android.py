"""An image classifier in an Android app: its Kotlin, and its TFLite metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.tasks import kotlin
from tfedge.tasks.classification import kotlin as classifiers
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.drop import Check, Content, Metadata, Parts
from tfedge.tasks.image_classification.copied import TEMPLATES

SCORES = ("uint8", "int8", "float32")  # dtypes that the Kotlin can read

_OWN = kotlin.Source(
    TEMPLATES,
    ("Classifier", "CompiledEngine", "Engine", "InterpreterEngine", "Model"),
    ("GoldenTest",),
)


def parts(content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, Kotlin with its test, README and metadata. DropError when the Kotlin can't read the
    model's scores."""
    values = {
        **told,
        **classifiers.values(content, SCORES),
        **kotlin.of_images(content, "classify"),
    }
    files = classifiers.files(content, [kotlin.IMAGES, _OWN], values)
    return Parts(files, metadata=describe(content))


def describe(content: Content) -> Metadata:
    """What readers of TFLite metadata need to feed the model and to name its scores."""
    return Metadata(
        f"Tells which of {len(content.facts['classes'])} classes an image shows.",
        [kotlin.described_image(content.given)],
        [classifiers.described_scores(content.taken)],
        {LABELS: labels(content)},
    )


def check(folder: Path, manifest: Mapping[str, Any]) -> Check:
    """That the model's metadata says what the manifest says."""

    def problems(graph: Mapping[str, Any], files: Mapping[str, bytes]) -> list[str]:
        scores = graph["output_tensor_metadata"][0]
        found = classifiers.labels_problems(scores, files, manifest)
        return found + kotlin.image_problems(graph, manifest)

    model = (folder / manifest["model"]).read_bytes()
    return kotlin.metadata_check(manifest, model, problems)
