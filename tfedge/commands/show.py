"""``tfedge show``: the summary of a run, as it ended."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import DEBUG
from tfedge.commands.screen import show


@click.command(short_help=LAZY["show"])
@click.argument(
    "directory", type=click.Path(path_type=Path), default=Path("runs/latest"), metavar="[RUN]"
)
@click.option("--json", "as_json", is_flag=True, help="Print its run.json.")
@DEBUG
def command(directory: Path, as_json: bool, debug: bool) -> None:
    """Print the summary of RUN, a run directory, as it ended. Without RUN: runs/latest.

    \b
    Example: tfedge show runs/latest
    """
    from tfedge import api

    run = api.Run.read(directory)
    if as_json:
        click.echo(json.dumps(run.result, indent=1))
    else:
        show(run.summary())
