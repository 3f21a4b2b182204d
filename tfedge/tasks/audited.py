"""What the audit says of examples, whatever their task is: to people while they are looked at, in
the report, and in a drop's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfedge.data.audit import KEPT, Contents, Findings, audit
from tfedge.data.index import Index
from tfedge.data.kind import Kind
from tfedge.data.schema import Data
from tfedge.data.sources import Scan
from tfedge.files.progress import Progress
from tfedge.tasks.blocks import Block, Bullets, Table, Text, bold

_MANY = 20


def audited(
    found: Scan, contents: Contents, data: Data, skip: bool, progress: Progress
) -> tuple[Index, Findings]:
    """The index and the findings, of which people are told; see ``data.audit.audit``."""
    index, findings = audit(found, contents, data, skip)
    for warning in findings.warnings:
        progress.note(warning)
    if findings.order:
        progress.note(findings.order)
    counts = ", ".join(f"{sum(count.values())} {split}" for split, count in index.counts.items())
    progress.note(f"{len(index.rows)} {data.kind.many} of {len(index.classes)} classes: {counts}")
    return index, findings


def count_table(
    names: Sequence[str], counts: Mapping[str, Mapping[str, int]], title: str = "class"
) -> Table:
    """Examples by class and split, and their sums."""
    rows: list[list[object]] = [
        [name, *(counts[split].get(name, 0) for split in counts)] for name in names
    ]
    rows.append([bold("all"), *(sum(counts[split].values()) for split in counts)])
    return Table([title, *counts], rows)


def audit_blocks(found: Findings, kind: Kind) -> list[Block]:
    """What the audit found."""
    said = [f"warning: {warning}" for warning in found.warnings]
    said += _shortened([f"left out: {row['path']} ({row['reason']})" for row in found.skipped])
    kinds = (("two labels", found.conflicts), ("two splits", found.leaks))
    for what, entries in (*kinds, ("look alike in two splits", found.near)):
        said += _shortened([f"{what}: {_group(entry, kind)}" for entry in entries])
    counts = Text(
        f"Audit: {len(found.skipped)} {kind.many} left out as bad, {len(found.conflicts)} under "
        f"two labels, {len(found.leaks)} in two splits, {_more(len(found.near))} pairs in two "
        f"splits that look alike, {found.duplicates} further copies; "
        f"largest class to smallest {found.imbalance:.1f}."
    )
    return [counts, *([Bullets(said)] if said else [])]


def _more(pairs: int) -> str:
    return f"{pairs} or more" if pairs == KEPT else str(pairs)


def _group(entry: Mapping[str, Any], kind: Kind) -> str:
    told = kind.labels.told
    return " = ".join(f"{p['path']} ({told(p['label'])}, {p['split']})" for p in entry["pictures"])


def _shortened(items: list[str]) -> list[str]:
    more = [f"… and {len(items) - _MANY} more"] if len(items) > _MANY else []
    return [*items[:_MANY], *more]
