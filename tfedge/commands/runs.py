"""``tfedge runs``: the runs in a folder, a line each."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import DEBUG, examples
from tfedge.commands.screen import show


@click.command(
    short_help=LAZY["runs"], epilog=examples("tfedge runs", "tfedge runs /mnt/models/runs --json")
)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"), metavar="[DIR]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DEBUG
def command(folder: Path, as_json: bool, debug: bool) -> None:
    """List the runs in DIR, the oldest first: when, how it ended, what came out.

    The metric is the task's own, of the float and of the shipped file; the latency that of the
    shipped file on the first device, on as few threads as were measured there. Without DIR: runs.
    """
    from tfedge import api
    from tfedge.report.runs import document, lines

    found = api.runs(folder)
    if as_json:
        click.echo(json.dumps({"schema": "tfedge.runs/1", "runs": document(found)}, indent=1))
    elif found:
        show("\n".join(lines(found)))
    else:
        click.echo(f"{folder}: no runs in it", err=True)
