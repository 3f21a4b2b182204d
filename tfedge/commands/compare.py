"""``tfedge compare``: runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import DEBUG
from tfedge.commands.screen import show


@click.command(short_help=LAZY["compare"])
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN..."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DEBUG
def command(runs: tuple[Path, ...], as_json: bool, debug: bool) -> None:
    """Set RUNs side by side: the metric of their task, size, latency, and the keys of their
    pipelines that are not the same.

    They are ranked, and the Pareto front is marked, when the same examples judged them by the same
    metric and latency was measured in the same way; else it is said why not.

    \b
    Example: tfedge compare runs/small-* runs/large-*
    """
    from tfedge import api

    found = api.compare(runs)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        show(found)
