"""Runs side by side as a page of HTML that needs nothing beside it."""

from __future__ import annotations

from string import ascii_uppercase

from tfedge.report import html
from tfedge.report.compare import Compared, RunComparison, letters, ranked_by, rows_of, short
from tfedge.report.document import Document
from tfedge.tasks.blocks import Block, Bullets, Figure, Part, Points, Table, Text, cell


def page(found: RunComparison) -> str:
    """The whole file."""
    told = [Text(f"Not ranked: {cell(reason)}.") for reason in found.unranked]
    ranked = f"Ranked by {ranked_by(found)}; \\* stands for the Pareto front."
    head, *rows = rows_of(found)
    runs = [(f"{row[0]} {row[1]}".strip(), *row[2:]) for row in rows]
    keys = [(key, *map(short, values)) for key, values in found.differing.items()]
    same = Text("None: the pipelines are the same, key by key.")
    parts = [
        Part("Runs", [*_plot(found), Table(["", *head[2:]], runs)]),
        Part("Notes", [Bullets(found.notes)] if found.notes else []),
        Part("Keys that differ", [Table(["key", *letters(found)], keys)] if keys else [same]),
    ]
    kept = [part for part in parts if part.blocks]
    return html.text(Document("Runs compared", told or [Text(ranked)], kept))


def _plot(found: RunComparison) -> list[Block]:
    """The metric over latency, or over size where no latency was measured, with the front as a
    line; nothing where the figures can't be compared."""
    if found.unranked:
        return []
    metric, timed = found.runs[0].facts.task.primary, found.runs[0].latency is not None
    scale = 100 if metric.share else 1
    points = [
        (letter, _across(run), scale * (run.value or 0))
        for letter, run in zip(ascii_uppercase, found.runs, strict=False)
    ]
    line = sorted(found.front, key=lambda at: points[at][1])
    y = f"{metric.label}, %" if metric.share else metric.label
    if not timed:
        plot, over = Points("MB", y, points, line=line), "size"
    else:
        sizes = [float(run.bytes or 0) for run in found.runs]
        plot, over = Points("ms, median", y, points, sizes, line), "latency; the area is the size"
    return [Figure(f"{metric.title} over {over}, the line is the Pareto front", plot)]


def _across(run: Compared) -> float:
    return run.latency.summary.median / 1e6 if run.latency else (run.bytes or 0) / 1e6
