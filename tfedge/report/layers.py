"""The report's section on zeros and clusters: layer by layer, as made and as the file has them."""

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
        [
            row["name"],
            f"{row['size']:,}",
            percent(row["zeros"] / row["size"]),
            f"{row['distinct']:,}",
            f"{row['distinct_channel']:,}",
        ]
        for row in facts.model["layers"]
        if row["size"]
    ]
    head = ["kernel in model.tflite", "weights", "zeros", "distinct values", "most in a channel"]
    return [*lines, *_clusters(facts), *table(head, rows)]


def _clusters(facts: Facts) -> list[str]:
    if facts.clusters is None:
        return []
    layers = facts.clusters["layers"]
    rows = [
        [
            row["name"],
            f"{row['size']:,}",
            f"{row['distinct']:,}",
            percent(row["zeros"] / row["size"]),
            "frozen" if row["frozen"] else "",
        ]
        for row in layers
    ]
    return [
        f"Clustered to {facts.clusters['clusters']} values in each of "
        f"{sum(not row['frozen'] for row in layers)} kernels; the frozen ones keep all of theirs.",
        "",
        *table(["clustered layer", "weights", "distinct values", "zeros", ""], rows),
        "",
    ]
