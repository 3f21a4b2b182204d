"""What the Android drops of all classifiers have in common: Kotlin, TFLite metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfedge.tasks import kotlin
from tfedge.tasks.classification.copied import TEMPLATES
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.drop import Content
from tfedge.tflite.metadata_schema import TENSOR_AXIS_LABELS

SOURCE = kotlin.Source(TEMPLATES, ("Answer",), ("GoldenRule",))


def values(content: Content, readable: Sequence[str]) -> dict[str, str]:
    """What templates are told of every classifier. DropError unless the model's scores are of one
    of the dtypes that are ``readable``."""
    taken = content.taken
    return {
        **kotlin.values(content, readable, "scores"),
        # float32 as Kotlin has it; as many digits as it takes to read the same number back
        "scale": str(np.float32(taken["scale"] or 1.0)),
        "zero_point": str(taken["zero_point"]),
        "first": content.facts["classes"][0],
        "shown": content.golden_told,
        "output": f"{taken['dtype']} {taken['shape']}",
    }


def files(
    content: Content, sources: Sequence[kotlin.Source], told: Mapping[str, str]
) -> dict[str, bytes]:
    """Labels, README and the Kotlin that a classifier has; see ``tfedge.tasks.kotlin``."""
    found = kotlin.files(content, [SOURCE, *sources], told)
    return {f"{kotlin.ASSETS}/{LABELS}": labels(content), **found}


def described_labels() -> dict[str, Any]:
    """The metadata's entry of labels.txt."""
    return {
        "name": LABELS,
        "description": "The classes, in the order of the scores.",
        "type": TENSOR_AXIS_LABELS,
    }


def described_scores(taken: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the scores, which names labels.txt."""
    return {
        "name": "probability",
        "description": taken["meaning"],
        "content": {"content_properties": {"FeatureProperties": {}}},
        "stats": {"max": [1.0], "min": [0.0]},
        "associated_files": [described_labels()],
    }


def labels_problems(
    output: Mapping[str, Any], files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> list[str]:
    """What is wrong with the labels that the metadata of an output names."""
    (names,) = [entry["name"] for entry in output["associated_files"]]
    if files[names].decode("utf-8").splitlines() != manifest["classes"]:
        return ["the labels in its metadata are not those of the manifest"]
    return []
