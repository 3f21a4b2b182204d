"""Stage ``data``: which examples there are, whether they can be trained on, and their splits.

Writes ``index.json`` and ``audit.json``.
"""

from __future__ import annotations

from pathlib import Path

from tfedge.core.context import Context
from tfedge.core.outputs import Audit, read
from tfedge.stages.examples import task_work


def run(ctx: Context) -> None:
    """Raises DataError with all that is wrong with the examples, ArtifactError for a download or
    disk that fails."""
    task_work(ctx).scan(ctx.pipeline, ctx.cache, ctx.progress, ctx.out)


def warnings(folder: Path) -> list[str]:
    """What is still to be known of the examples when their audit comes from the cache."""
    found = read(folder / "audit.json", Audit)
    return [*found.warnings, *([found.order] if found.order else [])]
