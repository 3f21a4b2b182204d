"""A classifier's answers, outside of pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.data.kind import Kind
from tfedge.errors import ConfigError, DataError, InvariantBroken
from tfedge.files.files import shown
from tfedge.tasks.blocks import Block
from tfedge.tasks.classification.files import class_facts
from tfedge.tasks.classification.metrics import ClassifierMetrics, measure
from tfedge.tasks.classification.report import class_table, confusion
from tfedge.tasks.classification.scores import JudgedBy, problem_of
from tfedge.tasks.drop import Answer, Told
from tfedge.tflite import metadata
from tfedge.tflite.metadata_schema import TENSOR_AXIS_LABELS


class ScoreReader:
    """Reads the scores of a model by its contract, whatever it takes."""

    kind: Kind

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._classes = [str(name) for name in facts["classes"]]

    def answer(self, output: np.ndarray, top: int) -> Answer:
        """The ``top`` classes, the best first. InvariantBroken for scores that are none."""
        self._check(output[None])
        best = np.argsort(-output, kind="stable")[:top]
        rows = [(self._classes[at], float(output[at])) for at in best]
        return Answer(
            {"scores": {name: round(score, 4) for name, score in rows}},
            [f"{100 * score:5.1f} %  {shown(name)}" for name, score in rows],
        )

    def drawing(self) -> None:
        """A class is one of the whole input."""

    def truth(self, labels: Sequence[str]) -> np.ndarray:
        """int [N], numbers of classes."""
        known = {name: number for number, name in enumerate(self._classes)}
        check_known(labels, self._classes)
        return np.asarray([known[label] for label in labels])

    def measure(
        self, outputs: np.ndarray, targets: np.ndarray, evaluate: JudgedBy
    ) -> ClassifierMetrics:
        self._check(outputs)
        top_k = min(evaluate.top_k, len(self._classes))
        return measure(outputs, targets, self._classes, top_k)

    def laid_out(self, files: Sequence[Path], labels: Sequence[str], folder: Path) -> None:
        """Nothing: the device script reads a folder for each class."""

    def told(self, metrics: ClassifierMetrics) -> list[Block]:
        """A line a class, and the confusion matrix."""
        return [class_table(metrics, "class", self.kind), *confusion(metrics, self.kind)]

    def _check(self, scores: np.ndarray) -> None:
        if problem := problem_of(scores, len(self._classes)):
            raise InvariantBroken("scores of the model", *problem)


def check_known(names: Iterable[str], classes: Sequence[str]) -> None:
    """DataError for every one of these names that is none of a model's classes."""
    known = set(classes)
    if unknown := sorted({name for name in names if name not in known}):
        told = [f"{shown(name)} is no class of the model" for name in unknown]
        raise DataError(told, f"its classes: {', '.join(map(shown, classes))}")


def facts_alone(model: bytes, told: Told) -> dict[str, Any]:
    """The contract's ``classes`` of a .tflite by itself. ConfigError when neither its user nor its
    metadata names them."""
    given = (told.labels, _labels_in(model), told.otherwise)
    labels = next((found for found in given if found is not None), None)
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
