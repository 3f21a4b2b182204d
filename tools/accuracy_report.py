"""The measured cells as Markdown."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accuracy_columns import COLUMNS
from accuracy_limits import DIFFERENCES, Difference, Found, summed_up
from accuracy_results import key_of
from accuracy_sets import SETS

Row = Mapping[str, Any]
NONE = "–"
NEAR = ("ptq", "ptq_plain", "aeq", "ptq_unfrozen", "ptq_plain_unfrozen", "aeq_unfrozen")


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table whose first columns are words and whose others are figures."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


def report(rows: Sequence[Row]) -> str:
    """All of it; what is not measured yet is left out."""
    if not rows:
        return "(Nothing is measured yet.)\n"
    parts = [top1_table(rows), differences_table(rows), nearness_table(rows), columns_table(rows)]
    return "\n".join(part for part in (*parts, origin(rows)) if part)


def measured_columns(rows: Iterable[Row]) -> list[str]:
    """In the order of COLUMNS."""
    found = {row["column"] for row in rows}
    return [name for name in COLUMNS if name in found]


def by_place(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    """The cells of each set and backbone, by column, in the order of SETS."""
    found: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    order = [*SETS]
    for row in sorted(rows, key=lambda row: (order.index(row["set"]), key_of(row))):
        found[row["set"], row["backbone"]][row["column"]].append(row)
    return found


def top1_table(rows: Sequence[Row]) -> str:
    """Mean top-1 over splits."""
    columns = measured_columns(rows)
    head = ["set", "net", "train", "test", "splits", *columns]
    lines = []
    for (name, net), cells in by_place(rows).items():
        all_cells = [row for found in cells.values() for row in found]
        counts = [
            f"{statistics.mean(row[k] for row in all_cells):.0f}" for k in ("n_train", "n_test")
        ]
        means = [mean_of(cells[column], "top1") for column in columns]
        lines.append([name, net, *counts, splits_of(cells), *means])
    return markdown(head, lines, 2)


def mean_of(cells: Sequence[Row], figure: str, shown: str = ".1%") -> str:
    found = [row[figure] for row in cells if row.get(figure) is not None]
    return format(statistics.mean(found), shown) if found else NONE


def splits_of(cells: Mapping[str, Sequence[Row]]) -> str:
    """How many, or from how few to how many where the columns differ."""
    counts = [len(found) for found in cells.values()]
    low, high = min(counts), max(counts)
    return f"{high}" if low == high else f"{low}–{high}"


def differences_table(rows: Sequence[Row]) -> str:
    """Each difference with its limits; what misses one says so."""
    found = [(wanted, summed_up(wanted, rows)) for wanted in DIFFERENCES]
    lines = [difference_line(wanted, got) for wanted, got in found if got is not None]
    head = ["difference", "limits", "", "worst on", "there", "mean", "cells"]
    return markdown(head, lines, 4) if lines else ""


def difference_line(wanted: Difference, got: Found) -> list[str]:
    limited = wanted.mean is not None or wanted.each is not None
    verdict = ("**missed**" if got.misses(wanted) else "kept") if limited else ""
    mean, worst = (
        with_error(value, error, wanted)
        for value, error in ((got.mean, got.error), (got.worst, got.worst_error))
    )
    return [wanted.name, limits(wanted), verdict, ", ".join(got.where), worst, mean, f"{got.cells}"]


def limits(wanted: Difference) -> str:
    pairs = (("mean", wanted.mean), ("each", wanted.each))
    said = [f"{what} ≥ {figure(least, wanted)}" for what, least in pairs if least is not None]
    return ", ".join(said)


def with_error(value: float, error: float | None, wanted: Difference) -> str:
    said = figure(value, wanted)
    return said if error is None else f"{said} ± {error:.{digits(wanted)}f}"


def figure(value: float, wanted: Difference) -> str:
    sign = "+" if wanted.less is not None and value else ""
    return f"{value:{sign}.{digits(wanted)}f}".replace("-", "−")


def digits(wanted: Difference) -> int:
    return 1 if wanted.scale == 100 else 4


def nearness_table(rows: Sequence[Row]) -> str:
    """How near to float each way to quantize without training comes."""
    columns = [name for name in measured_columns(rows) if name in NEAR]
    lines = [
        [name, net, *(nearness_text(cells[column]) for column in columns)]
        for (name, net), cells in by_place(rows).items()
        if set(columns) & set(cells)
    ]
    return markdown(["same answer, KL", "net", *columns], lines, 2) if columns else ""


def nearness_text(cells: Sequence[Row]) -> str:
    return f"{mean_of(cells, 'agreement')}, {mean_of(cells, 'kl', '.4f')}" if cells else NONE


def columns_table(rows: Sequence[Row]) -> str:
    """Every column by itself, over all of its cells."""
    stages = ("fit", "finetune", "prune", "quantize", "convert")
    head = ["column", "cells", "noise", "contrast", "ECE", *(f"{stage}, s" for stage in stages)]
    lines = []
    for name in measured_columns(rows):
        cells = [row for row in rows if row["column"] == name]
        figures = [mean_of(cells, key) for key in ("noise", "contrast", "ece")]
        took = [median_seconds(cells, stage) for stage in stages]
        lines.append([name, f"{len(cells)}", *figures, *took])
    return markdown(head, lines)


def median_seconds(cells: Iterable[Row], stage: str) -> str:
    found = [row["seconds"][stage] for row in cells if stage in row["seconds"]]
    return f"{statistics.median(found):.1f}" if found else NONE


def origin(rows: Sequence[Row]) -> str:
    """Where, when and with what; and how the figures are to be read."""
    days = sorted({row["date"] for row in rows})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    versions = "; ".join(
        f"{label} {', '.join(found)}"
        for label, package in (
            ("TensorFlow", "tensorflow"),
            ("TF-MOT", "tensorflow-model-optimization"),
            ("LiteRT", "ai-edge-litert"),
            ("ai-edge-quantizer", "ai-edge-quantizer"),
            ("scikit-learn", "scikit-learn"),
        )
        if (found := sorted({row["versions"].get(package, "") for row in rows} - {""}))
    )
    machines = ", ".join(sorted({row["cpu"] for row in rows}))
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    timed = sum(bool(row["seconds"]) for row in rows)
    return (
        f"({len(rows)} cells, {when}; {machines}; {versions}; commit {commits}. Top-1 of the test "
        "images, mean over splits; differences in points, within the same split, ± standard "
        "error over splits. KL in nats, scores below half a step of 8 bits taken for that. "
        f"Seconds: medians of the {timed} cells that were measured with nothing beside them. "
        "`python tools/accuracy_table.py --write` makes it of "
        "[accuracy.jsonl](accuracy.jsonl), which it adds to.)\n"
    )
