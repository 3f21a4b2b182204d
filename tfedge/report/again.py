"""The report of a run that has ended, written anew from what it left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tfedge.core.context import Origin
from tfedge.core.rundir import PAGE, REPORT, RESOLVED
from tfedge.data.sources import data_root
from tfedge.errors import ArtifactError, ConfigError, DataError
from tfedge.files.artifact import write_text
from tfedge.files.files import in_short
from tfedge.files.progress import Progress
from tfedge.pipeline.load import load
from tfedge.report import html, markdown
from tfedge.report.document import document
from tfedge.report.facts import gather

# What files of an earlier version lead to.
_OF_ANOTHER_VERSION = (LookupError, TypeError, AttributeError, ValueError)


def origin_of(run_dir: Path, cache: Path | None, progress: Progress) -> Origin | None:
    """What the report may look at beside the run directory; without ``cache`` no examples. None,
    with a note, where the pipeline is none of this version."""
    try:
        pipeline = load(run_dir / RESOLVED).pipeline
    except (ConfigError, ArtifactError) as error:
        why = f"{RESOLVED} can't be read: {in_short(error)}"
        progress.note(f"note: without settings, gates and examples: {why}")
        return None
    if cache is None:
        return Origin(pipeline)
    try:
        root = data_root(pipeline.data, cache)
    except DataError:  # a table that is not there any more: its files may be
        root = Path(pipeline.data.path or "").parent
    return Origin(pipeline, root, cache)


@contextmanager
def _of_this_version(run_dir: Path) -> Iterator[None]:
    """ArtifactError for a run whose files an earlier version wrote, and which lack what this one
    tells."""
    try:
        yield
    except _OF_ANOTHER_VERSION as error:
        what = f"its files lack what this version tells: {type(error).__name__} {error}"
        hint = "use the tfedge that made it, or run it again"
        raise ArtifactError(run_dir, what, hint) from error


def show(run_dir: Path, result: Mapping[str, Any], stream: TextIO, progress: Progress) -> None:
    """Print the report on a terminal, or as plain text; no examples. ArtifactError for a file of
    the run that is not what it must be."""
    from tfedge.report import terminal

    with _of_this_version(run_dir):
        report = document(gather(run_dir, result, origin_of(run_dir, None, progress)))
    terminal.write(report, stream)


def write(
    run_dir: Path,
    result: Mapping[str, Any],
    origin: Origin | None,
    page: Path | None,
    text: Path | None,
) -> list[Path]:
    """Write the page of HTML, the Markdown, or, where neither has a path, both into the run's
    directory. ArtifactError for a file of the run that is not what it must be."""
    wanted = {page: html.text, text: markdown.text}
    if page is None and text is None:
        wanted = {run_dir / PAGE: html.text, run_dir / REPORT: markdown.text}
    with _of_this_version(run_dir):
        report = document(gather(run_dir, result, origin))
        made = {path: render(report) for path, render in wanted.items() if path is not None}
    for path, content in made.items():
        write_text(path, content)
    return list(made)
