"""``tfedge show``: the summary of a run, as it ended."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfedge.commands import LAZY, complete
from tfedge.commands.options import DEBUG, examples


@click.command(
    short_help=LAZY["show"], epilog=examples("tfedge show", "tfedge show runs/flowers-2026-11-27")
)
@click.argument(
    "directory",
    type=click.Path(path_type=Path),
    default=Path("runs/latest"),
    metavar="[RUN]",
    shell_complete=complete.runs,
)
@click.option("--json", "as_json", is_flag=True, help="Print its run.json.")
@DEBUG
def command(directory: Path, as_json: bool, debug: bool) -> None:
    """Print the summary of RUN, a run directory, as it ended. Without RUN: runs/latest."""
    from tfedge import api

    run = api.Run.read(directory)
    click.echo(json.dumps(run.result, indent=1) if as_json else run.summary())
