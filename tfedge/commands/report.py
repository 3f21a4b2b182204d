"""``tfedge report``: the report of a run, written anew."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, RUN, examples

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    short_help=LAZY["report"],
    epilog=examples("tfedge report runs/latest --html review.html --open"),
)
@RUN
@click.option("--html", type=_FILE, help="Write the page there, and nothing else.")
@click.option("--md", type=_FILE, help="Write the Markdown there, and nothing else.")
@click.option("--open", "opened", is_flag=True, help="Show what was written in a browser.")
@CACHE
@DEBUG
def command(
    directory: Path,
    html: Path | None,
    md: Path | None,
    opened: bool,
    cache: Path | None,
    debug: bool,
) -> None:
    """Write the report of RUN, a run directory, anew from its run.json and the files of its stages,
    also of a run that failed. Without RUN: runs/latest; without --html and --md both files into it.
    """
    from tfedge import api

    files = api.write_report(directory, html=html, md=md, cache=cache, progress=sys.stderr)
    for file in files:
        click.echo(file)
    if opened:
        click.launch(str(files[0]))
