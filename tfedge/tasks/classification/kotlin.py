"""What the Android drops of all classifiers have in common: Kotlin, READMEs, TFLite metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.pipeline.packages import in_kotlin
from tfedge.portable.golden import TOLERANCE
from tfedge.tasks.classification.copied import TEMPLATES
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.drop import Content
from tfedge.tflite import metadata
from tfedge.tflite.metadata_schema import TENSOR_AXIS_LABELS

_KOTLIN = ("Answer", "LiteRt", "Scores")
_TESTS = ("Golden",)


def values(content: Content, readable: Sequence[str]) -> dict[str, str]:
    """What templates are told of every classifier. DropError unless the model's scores are of one
    of the dtypes that are ``readable``."""
    taken = content.taken
    if taken["dtype"] not in readable:
        known = ", ".join(readable)
        raise DropError(f"the model gives {taken['dtype']} scores, an app reads {known}")
    return {
        "package": in_kotlin(content.package.android.package),
        "name": content.name,
        "classes": str(len(content.facts["classes"])),
        "scores": taken["dtype"].upper(),
        # float32 as Kotlin has it; as many digits as it takes to read the same number back
        "scale": str(np.float32(taken["scale"] or 1.0)),
        "zero_point": str(taken["zero_point"]),
        "golden": str(len(content.golden)),
        "tolerance": f"{TOLERANCE:g}",
    }


def files(
    content: Content,
    templates: Path,
    kotlin: Sequence[str],
    told: Mapping[str, str],
    readme: Mapping[str, str],
) -> dict[str, bytes]:
    """Labels, README, the Kotlin that all classifiers have and a task's own, by names of its
    ``templates``; ``told`` are the values of marks, ``readme`` those of the README beside them."""
    folder = content.package.android.package.replace(".", "/")
    shared = {
        part: fill(TEMPLATES, f"android/{part}.md", **told).decode().rstrip("\n")
        for part in ("install", "platform")
    }
    found = {
        f"assets/{LABELS}": labels(content),
        "README.md": fill(templates, "android/README.md", **told, **shared, **readme),
    }
    ours = [("kotlin", TEMPLATES, _KOTLIN), ("androidTest/kotlin", TEMPLATES, _TESTS)]
    own = [("kotlin", templates, kotlin), ("androidTest/kotlin", templates, ("GoldenTest",))]
    for where, source, parts in (*ours, *own):
        for part in parts:
            found[f"{where}/{folder}/{part}.kt"] = fill(source, f"android/{part}.kt", **told)
    return found


def described_scores(taken: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the scores, which names labels.txt."""
    names = {
        "name": LABELS,
        "description": "The classes, in the order of the scores.",
        "type": TENSOR_AXIS_LABELS,
    }
    return {
        "name": "probability",
        "description": taken["meaning"],
        "content": {"content_properties": {"FeatureProperties": {}}},
        "stats": {"max": [1.0], "min": [0.0]},
        "associated_files": [names],
    }


def labels_problems(
    graph: Mapping[str, Any], files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> list[str]:
    """What is wrong with the labels that the metadata of a graph names."""
    (names,) = [e["name"] for e in graph["output_tensor_metadata"][0]["associated_files"]]
    if files[names].decode("utf-8").splitlines() != manifest["classes"]:
        return ["the labels in its metadata are not those of the manifest"]
    return []


def found_metadata(model: bytes, name: str) -> tuple[dict[str, Any], dict[str, bytes]] | None:
    """A model's metadata and the files behind it; None without metadata. ArtifactError."""
    found = metadata.read(model, name)
    return None if found is None else (found, metadata.associated(model, name))
