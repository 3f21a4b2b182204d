"""The report files of a run, all of the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.core.context import Origin
from tfedge.core.rundir import PAGE, REPORT
from tfedge.files.artifact import write_text
from tfedge.report import html, markdown
from tfedge.report.document import document
from tfedge.report.facts import gather


def write(run_dir: Path, result: Mapping[str, Any], origin: Origin | None = None) -> Path:
    """Write report.md and report.html from ``result`` (run.json) and the stages' folders; returns
    the path of the first. Without ``origin`` no example is shown, nor are gates. ArtifactError for
    a stage's file that is not what it must be."""
    report = document(gather(run_dir, result, origin))
    write_text(run_dir / PAGE, html.text(report))
    write_text(run_dir / REPORT, markdown.text(report))
    return run_dir / REPORT
