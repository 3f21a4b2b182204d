"""A classifier's answers, outside of pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfedge.errors import ConfigError, InvariantBroken
from tfedge.files.files import shown
from tfedge.tasks.classification.files import class_facts
from tfedge.tasks.classification.scores import problem_of
from tfedge.tasks.drop import Answer, Told
from tfedge.tflite import metadata
from tfedge.tflite.metadata_schema import TENSOR_AXIS_LABELS


def answer(scores: np.ndarray, classes: Sequence[str], top: int) -> Answer:
    """The ``top`` classes, the best first. InvariantBroken for scores that are none."""
    if problem := problem_of(scores[None], len(classes)):
        raise InvariantBroken("scores of the model", *problem)
    best = [(classes[at], float(scores[at])) for at in np.argsort(-scores, kind="stable")[:top]]
    return Answer(
        {"scores": {name: round(score, 4) for name, score in best}},
        [f"{100 * score:5.1f} %  {shown(name)}" for name, score in best],
    )


def facts_alone(model: bytes, told: Told) -> dict[str, Any]:
    """The contract's ``classes`` of a .tflite by itself. ConfigError when neither its user nor its
    metadata names them."""
    labels = told.labels if told.labels is not None else _labels_in(model)
    if labels is None:
        what = (
            "its classes are told neither by TFLite metadata in it nor by a drop or run around it"
        )
        raise ConfigError([what], "--labels FILE: one a line, in the order of the scores")
    if len(set(labels)) < len(labels):
        twice = sorted({name for name in labels if labels.count(name) > 1})
        raise ConfigError([f"labels that are there more than once: {', '.join(twice)}"])
    return class_facts(labels)


def _labels_in(model: bytes) -> list[str] | None:
    """The labels behind a model that its metadata gives to its output."""
    for output in graph_of(metadata.read(model)).get("output_tensor_metadata", ()):
        for file in output.get("associated_files", ()):
            if file.get("type") == TENSOR_AXIS_LABELS and "locale" not in file:
                content = metadata.associated(model).get(file.get("name", ""))
                if content is not None:
                    return content.decode("utf-8", "replace").splitlines()
    return None


def graph_of(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What TFLite metadata say of a model's only graph; empty for none."""
    graphs = (found or {}).get("subgraph_metadata", ())
    return graphs[0] if graphs else {}
