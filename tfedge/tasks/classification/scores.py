"""What classification says of a model's scores, whatever its examples are; with numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from tfedge.core.outputs import Evaluation
from tfedge.data.audit import IMBALANCE, Findings
from tfedge.data.index import Index
from tfedge.data.kind import Kind
from tfedge.pipeline.schema import Finetune
from tfedge.portable import golden
from tfedge.tasks.blocks import Block, Part
from tfedge.tasks.classification import metrics, report
from tfedge.tasks.drop import Content, Differing
from tfedge.tasks.task import Ask, Examples

_TINY = 1e-7  # below any score that matters: no logarithm of zero


class JudgedBy(Protocol):
    """The keys of ``evaluate`` that say how scores are measured."""

    top_k: int


class ScoredClasses:
    """Outputs are scores float [N, classes], softmax; targets int [N], numbers of classes."""

    kind: ClassVar[Kind]  # of the examples
    chooses = False

    def problem(self, outputs: np.ndarray, examples: Examples) -> tuple[str, str] | None:
        return problem_of(outputs, len(classes_of(examples)))

    def settings(self, evaluate: JudgedBy, examples: Examples) -> dict[str, Any]:
        return {"top_k": min(evaluate.top_k, len(classes_of(examples)))}

    def measure(
        self,
        outputs: np.ndarray,
        targets: np.ndarray,
        examples: Examples,
        evaluate: JudgedBy,
        chosen: Mapping[str, Any],
    ) -> metrics.ClassifierMetrics:
        top_k = self.settings(evaluate, examples)["top_k"]
        return metrics.measure(outputs, targets, classes_of(examples), top_k)

    def chosen(self, outputs: np.ndarray, targets: np.ndarray, examples: Examples) -> None:
        """The answer is the highest score, whatever it is."""

    def primary(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Top-1."""
        return float(self.quality(outputs, targets).mean())

    def quality(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """1 for a right answer, 0 for a wrong one."""
        right: np.ndarray = (outputs.argmax(axis=1) == targets).astype(np.float64)
        return right

    def same(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where the class with the highest score is the same."""
        equal: np.ndarray = outputs.argmax(axis=1) == others.argmax(axis=1)
        return equal

    def divergence(self, reference: np.ndarray, outputs: np.ndarray) -> float:
        """Mean Kullback–Leibler divergence from the reference, in nats."""
        p, q = (np.clip(s.astype(np.float64), _TINY, None) for s in (reference, outputs))
        p, q = (s / s.sum(1, keepdims=True) for s in (p, q))
        return float((p * np.log(p / q)).sum(1).mean())

    def worst(
        self, outputs: np.ndarray, examples: Examples, rows: Sequence[int], count: int, ask: Ask
    ) -> list[dict[str, Any]]:
        """The wrong answers given with the largest lead over the truth."""
        labels, names = examples.targets(rows), examples.names(rows)
        return metrics.worst(outputs, labels, names, classes_of(examples), count)

    def warnings(self, evaluation: Evaluation) -> list[str]:
        """Classes that no example judges, and those that the model never answers."""
        models, split = metrics.models_of(evaluation), evaluation.split
        shipped = models[evaluation.shipped]
        empty = [row.name for row in shipped.per_class if not row.support]
        found = [f"no {split} {self.kind.many} of: {', '.join(empty)}"] if empty else []
        missed = metrics.never_answered(shipped)
        if missed:
            count = sum(row.support for row in shipped.per_class if row.name in missed)
            plain = set(metrics.never_answered(models["float"]))
            does = [name for name in missed if name not in plain]
            float_too = f" (float does answer {', '.join(does)})" if does else ""
            found.append(
                f"{evaluation.shipped} never answers {', '.join(missed)}, not even for the {count} "
                f"{split} {self.kind.many} of it{float_too}: its accuracy is of the other classes "
                "alone; see finetune.class_weights, and evaluate.gates.min_recall, which stops "
                "such a model"
            )
        return found

    def proposals(self, examples: Examples, finetune: Finetune) -> list[str]:
        """Weights for classes of very different sizes."""
        counts = {name: n for name, n in examples.counts.get("train", {}).items() if n}
        if not counts or finetune.class_weights != "none":
            return []
        most, least = (f(counts, key=counts.__getitem__) for f in (max, min))
        if counts[most] <= IMBALANCE * counts[least]:
            return []
        return [
            f"{counts[most]} training {self.kind.many} of {most} and {counts[least]} of {least}: "
            "finetune.class_weights: balanced lets each class count the same (and the same key of "
            f"prune, cluster and quantize, where they train); more {self.kind.many} are better"
        ]

    def answers(self, evaluation: Evaluation, examples: Examples | None) -> list[Part]:
        shown = self.shown_worst(evaluation, examples) if examples is not None else []
        return report.answers(evaluation, self.kind, shown)

    def shown_worst(self, evaluation: Evaluation, examples: Examples) -> list[Block]:
        """What is to be seen of the examples that were answered worst."""
        return []

    def split_digest(self, index: Path, split: str) -> str:
        return Index.load(index).split_digest(split)

    def data(self, index: Path, audit: Path | None, examples: Examples | None) -> list[Block]:
        """How many there are, of what, and what the audit found."""
        findings = None if audit is None else Findings.load(audit)
        told = report.data(Index.load(index), findings, self.kind)
        return [*told, *(self.shown_data(findings, examples) if examples is not None else [])]

    def shown_data(self, audit: Findings | None, examples: Examples) -> list[Block]:
        """What is to be seen of the examples, and of those that the audit complains of."""
        return []

    def beside(self, examples: Examples) -> dict[str, bytes]:
        return {}

    def for_target(self, target: str, content: Content, examples: Examples) -> Content:
        return content

    def difference(self, expected: np.ndarray, got: np.ndarray) -> str:
        return golden.difference(expected, got)

    def agreement(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> Differing:
        """Of scores alone."""
        return lambda number, expected, got: self.difference(expected, got)


class Classed(Protocol):
    """Examples, each of one of some classes."""

    @property
    def classes(self) -> tuple[str, ...]: ...


def classes_of(examples: Examples) -> tuple[str, ...]:
    """The classes in the order of the scores."""
    return cast(Classed, examples).classes


def problem_of(scores: np.ndarray, classes: int) -> tuple[str, str] | None:
    """What scores of that many classes must be and what these are; None when they are fine."""
    finite = bool(np.isfinite(scores).all())
    if scores.ndim == 2 and scores.shape[1] == classes and finite:
        return None
    got = f"{list(scores.shape[1:])}{'' if finite else ', not all finite'}"
    return f"{classes} finite scores an example", got
