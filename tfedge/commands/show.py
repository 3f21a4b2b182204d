"""``tfedge show``: the summary of a run, as it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import DEBUG, RUN, examples
from tfedge.commands.screen import show


@click.command(
    short_help=LAZY["show"],
    epilog=examples("tfedge show", "tfedge show runs/latest", "tfedge show --full | less"),
)
@RUN
@click.option("--full", is_flag=True, help="Print its whole report.")
@click.option("--json", "as_json", is_flag=True, help="Print its run.json.")
@DEBUG
def command(directory: Path, full: bool, as_json: bool, debug: bool) -> None:
    """Print the summary of RUN, a run directory, as it ended. Without RUN: runs/latest.

    With --full what report.md and report.html hold, made for the terminal; in a pipe it is plain
    text.
    """
    from tfedge import api

    run = api.Run.read(directory)
    if as_json:
        click.echo(json.dumps(run.result, indent=1))
    elif full:
        from tfedge.core.progress import shown_on
        from tfedge.report import again

        again.show(run.directory, run.result, sys.stdout, shown_on(sys.stderr))
    else:
        show(run.summary())
