"""What a report and a drop's card say of a classifier: how good it is, and on which examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfedge.core.outputs import Evaluation
from tfedge.data.audit import Findings
from tfedge.data.index import Index
from tfedge.data.kind import Kind
from tfedge.tasks.audited import audit_blocks, count_table
from tfedge.tasks.blocks import (
    Block,
    Curves,
    Figure,
    Part,
    Table,
    Text,
    bold,
    percent,
)
from tfedge.tasks.classification.metrics import ClassifierMetrics, models_of
from tfedge.tasks.shares import share_bars, with_interval

_WIDE = 30  # classes; a larger confusion matrix is given as the list of its mistakes
_BARS = 30  # classes; of more, those with the lowest recall are drawn
_MANY = 20  # mistakes


def answers(evaluation: Evaluation, kind: Kind, shown: Sequence[Block] = ()) -> list[Part]:
    """The sections on how good the model is on examples of a kind. ``shown`` is what is to be seen
    of those that were answered worst."""
    shipped, models = evaluation.shipped, models_of(evaluation)
    return [
        Part(
            "Classes",
            [
                *_class_bars(models[shipped], shipped),
                *(class_table(found, f"{name}: class", kind) for name, found in models.items()),
            ],
        ),
        Part("Confusion", confusion(models[shipped], kind, f"{shipped}; ")),
        Part("Calibration", _calibration(models, shipped, kind)),
        Part(f"Worst {kind.many}", [*shown, *_worst(evaluation.worst, kind)]),
    ]


def class_table(metrics: ClassifierMetrics, title: str, kind: Kind) -> Table:
    """Precision and recall of each class with their 95 % intervals, F1, and the macro means."""
    rows: list[list[object]] = [
        [
            row.name,
            with_interval(row.precision, row.precision_ci95),
            with_interval(row.recall, row.recall_ci95),
            percent(row.f1),
            row.support,
        ]
        for row in metrics.per_class
    ]
    means = metrics.precision_macro, metrics.recall_macro, metrics.f1_macro
    rows.append([bold("mean"), *map(percent, means), metrics.n])
    return Table([title, "precision", "recall", "F1", kind.many], rows)


def _class_bars(metrics: ClassifierMetrics, shipped: str) -> list[Block]:
    """Recall and precision of each class, with their intervals."""
    made = metrics.confusion.answers()
    classes = [
        (row, made.get(number, 0)) for number, row in enumerate(metrics.per_class) if row.support
    ]
    few, which = classes, ""
    if len(classes) > _BARS:
        few = sorted(classes, key=lambda pair: pair[0].recall or 0.0)[:_BARS]
        which = f", of the {_BARS} classes with the lowest recall"
    recall = [(row.name, row.recall, row.support) for row, _ in few]
    precision = [(row.name, row.precision, count) for row, count in few]
    return share_bars(
        {f"Recall of {shipped}{which}": recall, f"Precision of {shipped}{which}": precision}
    )


def confusion(metrics: ClassifierMetrics, kind: Kind, of: str = "") -> list[Block]:
    """Examples by truth and answer, of many classes the most frequent mistakes."""
    names, counts = [row.name for row in metrics.per_class], metrics.confusion
    said = Text(f"{of}{'a' if of else 'A'} row is the truth, a column the answer.")
    if len(names) <= _WIDE:
        numbers = range(len(names))
        table = [[name, *(counts.examples(i, j) for j in numbers)] for i, name in enumerate(names)]
        return [said, Table(["", *names], table, shaded=True)]
    mistakes = sorted((-n, names[i], names[j]) for i, j, n in counts.mistakes())
    rows = [[truth, answer, -n] for n, truth, answer in mistakes[:_MANY]]
    return [said, Table(["truth", "answer", kind.many], rows)]


def _calibration(models: Mapping[str, ClassifierMetrics], shipped: str, kind: Kind) -> list[Block]:
    errors = ", ".join(f"{name} {found.ece:.3f}" for name, found in models.items())
    rows = [
        [f"{b.low:.2f} – {b.high:.2f}", percent(b.confidence), percent(b.accuracy), b.n]
        for b in models[shipped].reliability
    ]
    return [
        Text(f"Expected calibration error, 15 bins: {errors}. {shipped}:"),
        *_reliability(models[shipped]),
        Table(["score", "mean score", "right", kind.many], rows),
    ]


def _reliability(metrics: ClassifierMetrics) -> list[Block]:
    """Right answers over mean score, beside what a calibrated model would have."""
    bins = [(b.confidence, b.accuracy) for b in metrics.reliability if b.n]
    if len(bins) < 2:
        return []
    ends = [(0.0, 0.0), (1.0, 1.0)]
    curves = {"measured": bins, "calibrated": ends}
    return [Figure("Right answers by score", Curves("mean score", "share right", curves))]


def _worst(mistakes: Sequence[Mapping[str, Any]], kind: Kind) -> list[Block]:
    if not mistakes:
        return [Text("None: no mistake, or `evaluate.worst` is 0.")]
    shown = any("text" in row for row in mistakes)  # of what an example says
    explained = any(row.get("words") for row in mistakes)
    rows = [
        [
            row["path"],
            *([row.get("text", "")] if shown else []),
            row["true"],
            row["predicted"],
            f"{row['score']:.2f}",
            f"{row['true_score']:.2f}",
            *([_words(row.get("words", []))] if explained else []),
        ]
        for row in mistakes
    ]
    head = [kind.one, *(["begins"] if shown else [])]
    last = ["its score without a word"] if explained else []
    return [Table([*head, "truth", "answer", "its score", "score of the truth", *last], rows)]


def _words(words: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{word['word']} {word['score']:.2f}" for word in words)


def data(index: Index, audit: Findings | None, kind: Kind) -> list[Block]:
    """The section on the examples: how many, of what, and what the audit found."""
    return [
        Text(f"Splits from {index.split_from}. Digest `{index.digest}`."),
        *([Text(f"{audit.order[:1].upper()}{audit.order[1:]}.")] if audit and audit.order else []),
        count_table(index.classes, index.counts),
        *(audit_blocks(audit, kind) if audit else [Text("No audit.")]),
    ]
