"""The report's section on zeros, layer by layer: what pruning made and what the file holds."""

from __future__ import annotations

from tfedge.report.facts import Facts
from tfedge.report.markup import NOT_RUN, percent, table


def sparsity(facts: Facts) -> list[str]:
    if not facts.model:
        return NOT_RUN
    lines: list[str] = []
    pruned = facts.sparsity
    if pruned is None:
        lines += ["Nothing was pruned.", ""]
    else:
        share = facts.model["sparsity"]
        shipped = f"; in the shipped file: {percent(share)}" if share is not None else ""
        lines += [
            f"Wanted {percent(pruned['target'])} of {pruned['total']:,} prunable weights; reached "
            f"{percent(pruned['reached'])}{shipped}.",
            "",
            *table(
                ["pruned layer", "weights", "zeros", ""],
                [
                    [
                        row["name"],
                        f"{row['size']:,}",
                        percent(row["zeros"] / row["size"]),
                        "frozen" if row["frozen"] else "",
                    ]
                    for row in pruned["layers"]
                ],
            ),
            "",
        ]
    rows = [
        [row["name"], f"{row['size']:,}", percent(row["zeros"] / row["size"])]
        for row in facts.model["layers"]
        if row["size"]
    ]
    head = ["kernel in model.tflite", "weights", "zeros"]
    return [*lines, *table(head, rows)]
