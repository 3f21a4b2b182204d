"""The report's section on the pictures: how many, of what, and what the audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfedge.report.facts import Facts
from tfedge.report.markup import NOT_RUN, cell, table

_MANY = 20  # files of one kind


def count_table(names: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Pictures by class and split, and their sums."""
    rows = [[name, *(counts[split].get(name, 0) for split in counts)] for name in names]
    rows.append(["**all**", *(sum(counts[split].values()) for split in counts)])
    return table(["class", *counts], rows)


def pictures(facts: Facts) -> list[str]:
    if not facts.index:
        return NOT_RUN
    lines = [
        f"Splits from {cell(facts.index['split_from'])}. Digest `{facts.index['digest']}`.",
        "",
        *count_table(facts.index["classes"], facts.index["counts"]),
    ]
    return [*lines, "", *(_audit(facts.audit) if facts.audit else ["No audit."])]


def _audit(audit: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Audit: {len(audit['skipped'])} pictures left out as bad, {len(audit['conflicts'])} under "
        f"two labels, {len(audit['leaks'])} in two splits, {audit['duplicates']} further copies; "
        f"largest class to smallest {audit['imbalance']:.1f}."
    ]
    lines += [f"- warning: {cell(warning)}" for warning in audit["warnings"]]
    lines += _listed([f"left out: {row['path']} ({row['reason']})" for row in audit["skipped"]])
    for kind, what in (("conflicts", "two labels"), ("leaks", "two splits")):
        groups = [_group(entry) for entry in audit[kind]]
        lines += _listed([f"{what}: {group}" for group in groups])
    return lines


def _group(entry: Mapping[str, Any]) -> str:
    return " = ".join(f"{p['path']} ({p['label']}, {p['split']})" for p in entry["pictures"])


def _listed(items: list[str]) -> list[str]:
    more = [f"- … and {len(items) - _MANY} more"] if len(items) > _MANY else []
    return [*(f"- {cell(item)}" for item in items[:_MANY]), *more]
