"""The drop for Android apps: the model with metadata in it, and what Gradle needs to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.drops import manifest
from tfedge.drops.make import Layout, Target
from tfedge.drops.templates import template
from tfedge.drops.verify import verify
from tfedge.errors import DropError
from tfedge.tasks.drop import Content, Metadata
from tfedge.tasks.work import work_of
from tfedge.tflite import metadata
from tfedge.tflite.runtime import predict

LITERT = "2.3.2"  # of com.google.ai.edge.litert on Google's Maven, October 2026

_VERSION_DIGITS = 12  # of the run key
# The oldest readers of metadata that know all that is in it: process units of all inputs together,
# as a tokenizer is one, came later, and formats of a reader's own still later.
_PARSER, _PARSER_OF_UNITS, _PARSER_OF_CUSTOM = "1.0.0", "1.1.0", "1.5.0"


def layout(content: Content) -> Layout:
    """The model below ``assets/``, and the task's Kotlin where Gradle looks for it."""
    file = f"{content.name}.tflite"
    parts = work_of(content.task).parts("android", content, {"model": file, "litert": LITERT})
    said = parts.metadata
    model = content.model
    if said is not None:
        model = metadata.embed(model, describe(content, said), said.files)
    files = {
        f"assets/{file}": model,
        "gradle/build.gradle.kts": template("android/build.gradle.kts", litert=LITERT),
        "proguard-rules.pro": template("android/proguard-rules.pro"),
        **parts.files,
    }
    facts = {"android": {"package": content.package.android.package, "litert": LITERT}}
    return Layout(f"assets/{file}", files, facts)


def describe(content: Content, said: Metadata) -> dict[str, Any]:
    """The model's TFLite metadata; what is empty is left out, but a description there always is."""
    package = content.package
    texts = {
        "name": content.name,
        "description": package.description or said.description,
        "version": content.run_key[:_VERSION_DIGITS],
        "author": package.author,
        "license": package.licence,
        "min_parser_version": _parser(said),
    }
    custom = [{"name": name, "data": data} for name, data in said.custom.items()]
    graph: Mapping[str, Any] = {
        "input_tensor_metadata": said.inputs,
        "output_tensor_metadata": said.outputs,
        **({"input_process_units": said.units} if said.units else {}),
        **({"custom_metadata": custom} if custom else {}),
    }
    return {key: text for key, text in texts.items() if text} | {"subgraph_metadata": [graph]}


def _parser(said: Metadata) -> str:
    if said.custom:
        return _PARSER_OF_CUSTOM
    return _PARSER_OF_UNITS if said.units else _PARSER


def _check(folder: Path, command: Sequence[str]) -> None:
    """What ``tfedge verify`` looks at, and bit by bit: the golden outputs were made by the model
    without metadata, and metadata must not change it."""
    problems = [problem for check in verify(folder) for problem in check.problems]
    if problems:
        raise DropError(f"the drop does not hold: {'; '.join(problems)}")
    facts = manifest.load(folder)
    shape, dtype = facts["input"]["shape"][1:], facts["input"]["dtype"]
    inputs = [
        np.frombuffer((folder / pair["input"]).read_bytes(), dtype).reshape(shape)
        for pair in facts["golden"]
    ]
    found = predict(folder / facts["model"], np.stack(inputs), raw=True)
    expected = [(folder / pair["output"]).read_bytes() for pair in facts["golden"]]
    changed = sum(a.tobytes() != b for a, b in zip(found, expected, strict=True))
    if changed:
        raise DropError(f"with metadata in it, the model answers otherwise to {changed} examples")


ANDROID = Target("android", layout, _check)
