"""What a classifier's scores are worth: accuracy, per-class numbers, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field, RootModel, field_validator

from tfedge.core.outputs import Evaluation, ModelMetrics, Output, narrow
from tfedge.tasks.paired import wilson

_BINS = 15


class Bin(Output):
    """Answers whose score lies in one of 15 equal bins of [0, 1]."""

    low: float = Field(validation_alias="from", serialization_alias="from")
    high: float = Field(validation_alias="to", serialization_alias="to")
    n: int  # examples
    confidence: float  # mean score
    accuracy: float


class ClassMetrics(Output):
    """One class. None: undefined, for it was never predicted, or has no examples."""

    name: str = Field(validation_alias="class", serialization_alias="class")
    precision: float | None
    recall: float | None
    f1: float | None
    support: int  # examples
    precision_ci95: tuple[float, float] | None = None
    recall_ci95: tuple[float, float] | None = None


class Confusion(RootModel[dict[int, dict[int, int]]]):
    """Examples by their true class and by the class that was answered, numbers of both. Pairs that
    no example has are left out, so that it grows with the examples and not with the classes
    squared."""

    @field_validator("root", mode="before")
    @classmethod
    def _sparse(cls, found: Any) -> Any:
        """Files of earlier versions hold all pairs, as lists."""
        if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
            return found
        rows = ({j: n for j, n in enumerate(row) if n != 0} for row in found)
        return {i: row for i, row in enumerate(rows) if row}

    @classmethod
    def of(cls, labels: np.ndarray, predicted: np.ndarray) -> Confusion:
        """Of the true and the answered classes, both int [N]."""
        pairs, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
        rows: dict[int, dict[int, int]] = {}
        for truth, answer, n in zip(*pairs.tolist(), counts.tolist(), strict=True):
            rows.setdefault(truth, {})[answer] = n
        return cls(rows)

    def examples(self, truth: int, answer: int) -> int:
        """How many examples of one class were taken for another, or for what they are."""
        return self.root.get(truth, {}).get(answer, 0)

    def answers(self) -> dict[int, int]:
        """How often each class was answered, rightly or not; those that never were are left out."""
        made: dict[int, int] = {}
        for row in self.root.values():
            for answer, n in row.items():
                made[answer] = made.get(answer, 0) + n
        return made

    def mistakes(self) -> Iterator[tuple[int, int, int]]:
        """The pairs (true class, answer, examples) whose classes differ."""
        for truth, row in self.root.items():
            yield from ((truth, answer, n) for answer, n in row.items() if answer != truth)


class ClassifierMetrics(ModelMetrics):
    """What a classifier is worth, as shares of 1."""

    n: int  # examples
    top1: float
    top1_ci95: tuple[float, float]
    top_k: float
    precision_macro: float
    recall_macro: float
    recall_min: float | None = None  # of the class that has the lowest
    recall_min_of: str = ""  # that class
    f1_macro: float
    ece: float  # expected calibration error
    reliability: list[Bin]  # those that are filled
    per_class: list[ClassMetrics]
    confusion: Confusion


def models_of(evaluation: Evaluation) -> Mapping[str, ClassifierMetrics]:
    """The metrics of ``float`` and, where it was made, ``int8``."""
    return {
        name: narrow(found, ClassifierMetrics, f"metrics.json: {name}")
        for name, found in evaluation.models.items()
    }


def measure(
    scores: np.ndarray, labels: np.ndarray, classes: Sequence[str], top_k: int
) -> ClassifierMetrics:
    """The metrics of one model.

    Args:
        scores: float [N, classes], softmax.
        labels: int [N], the true classes; N ≥ 1.
        top_k: how many of the best scores may hold the truth in ``top_k``.

    Precision of a class that was never predicted and recall of a class without examples are
    undefined: None. The macro means are over the classes that have examples; there an undefined
    precision counts as 0. Ties in the scores (there are some among 256 levels) go to the class
    that comes first.
    """
    predicted = scores.argmax(axis=1)
    right, support, made = (
        np.bincount(numbers, minlength=len(classes))
        for numbers in (labels[predicted == labels], labels, predicted)
    )
    precision, recall = _shares(right, made), _shares(right, support)
    f1 = _shares(2 * right, support + made)
    hits = int(right.sum())
    present = support > 0
    bins = reliability(scores, labels)
    lowest = int(np.where(present, recall, np.inf).argmin())
    return ClassifierMetrics(
        n=len(labels),
        top1=hits / len(labels),
        top1_ci95=wilson(hits, len(labels)),
        top_k=float((_ranks(scores, labels) < top_k).mean()),
        precision_macro=float(precision[present].mean()),
        recall_macro=float(recall[present].mean()),
        recall_min=float(recall[lowest]),
        recall_min_of=classes[lowest],
        f1_macro=float(f1[present].mean()),
        ece=calibration_error(bins),
        reliability=bins,
        per_class=[
            ClassMetrics(
                name=name,
                precision=float(precision[i]) if made[i] else None,
                recall=float(recall[i]) if support[i] else None,
                f1=float(f1[i]) if support[i] else None,
                support=int(support[i]),
                precision_ci95=wilson(int(right[i]), int(made[i])) if made[i] else None,
                recall_ci95=wilson(int(right[i]), int(support[i])) if support[i] else None,
            )
            for i, name in enumerate(classes)
        ],
        confusion=Confusion.of(labels, predicted),
    )


def _ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, int [N]. Of equal scores the first comes first."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    ranks: np.ndarray = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return ranks


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, 0 where ``whole`` is."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def reliability(scores: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Confidence against accuracy in the filled ones of 15 equal bins of [0, 1]."""
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        Bin(
            low=int(b) / _BINS,
            high=(int(b) + 1) / _BINS,
            n=int((bins == b).sum()),
            confidence=float(confidence[bins == b].mean()),
            accuracy=float(right[bins == b].mean()),
        )
        for b in np.unique(bins)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (Guo et al. 2017) over the bins of :func:`reliability`."""
    return sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / sum(b.n for b in bins)


def never_answered(found: ClassifierMetrics) -> list[str]:
    """Classes that have examples and are not the answer to any of them at all."""
    return [row.name for row in found.per_class if row.precision is None and row.support]


def worst(
    scores: np.ndarray,
    labels: np.ndarray,
    paths: Sequence[str],
    classes: Sequence[str],
    count: int,
) -> list[dict[str, Any]]:
    """The ``count`` wrong answers given with the largest lead over the truth, the worst first."""
    predicted = scores.argmax(axis=1)
    lead = scores.max(axis=1) - scores[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(predicted != labels).tolist()
    return [
        {
            "path": paths[i],
            "true": classes[labels[i]],
            "predicted": classes[predicted[i]],
            "score": float(scores[i, predicted[i]]),
            "true_score": float(scores[i, labels[i]]),
        }
        for i in sorted(wrong, key=lambda i: (-lead[i], paths[i]))[:count]
    ]
