"""The table that a person sees when a run has ended."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from tfedge.core.progress import WARNING
from tfedge.core.rundir import PAGE, REPORT
from tfedge.files.text import WIDTH, columns
from tfedge.report import phases
from tfedge.report.debug import short
from tfedge.report.facts import Facts, comparison, gather, proposals, warnings


def summary(result: Mapping[str, Any], run_dir: Path, told: Collection[str] = ()) -> str:
    """Float against int8, phase by phase, what 8 bits harm, where the drop and the report lie.

    Lines of at most 100 columns (paths, and what is to be pasted into a file, are never cut).
    ``result`` is run.json; what was not run is left out, and so is what the reader was ``told``
    already: "warning: …", "proposal: …".
    """
    facts = gather(run_dir, result)
    blocks = [
        _headline(facts),
        [*_columns(facts), *phases.line(facts, WIDTH)],
        short(facts),
        _advice_lines(facts, told),
        _places(facts),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _headline(facts: Facts) -> list[str]:
    result = facts.result
    seconds = float(result.get("seconds") or 0)
    stages = result.get("stages") or []
    hits = sum(stage.get("cache") == "hit" for stage in stages)
    cached = f", {hits} of {len(stages)} stages from the cache" if hits else ""
    return [f"{result['pipeline']}: {result['status']} in {seconds:.0f} s{cached}"]


def _columns(facts: Facts) -> list[str]:
    rows: list[tuple[str, ...]] = [*comparison(facts, interval=False)]
    if not rows:
        return []
    table = [("", "float", "int8", ""), *rows]
    if facts.shipped == "float":
        table = [(name, plain, note) for name, plain, _, note in table]
    return columns(table, left=(0, len(table[0]) - 1), most=WIDTH)


def document(result: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """The summary for programs: run.json, and what it does not hold of what people read."""
    facts = gather(run_dir, result)
    return {
        "directory": str(run_dir),
        "run": dict(result),
        "warnings": warnings(facts),
        "proposals": proposals(facts),
        "summary": summary(result, run_dir),
    }


def _advice_lines(facts: Facts, told: Collection[str]) -> list[str]:
    said = [(WARNING, text) for text in warnings(facts)]
    said += [("proposal: ", text) for text in proposals(facts)]
    return [
        line
        for kind, text in said
        if kind + text not in told
        for line in wrap(kind + text, WIDTH, subsequent_indent=" " * len(kind))
    ]


def _places(facts: Facts) -> list[str]:
    places = [
        (f"drop ({drop['target']})", facts.run_dir / drop["path"])
        for drop in facts.result.get("drops") or []
    ]
    places += [
        ("report", facts.run_dir / name)
        for name in (REPORT, PAGE)
        if (facts.run_dir / name).is_file()
    ]
    return columns([(name, _short(path)) for name, path in places], left=(0, 1))


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
