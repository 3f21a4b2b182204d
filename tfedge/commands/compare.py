"""``tfedge compare``: runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfedge.commands import LAZY, complete
from tfedge.commands.options import DEBUG, examples
from tfedge.commands.screen import show


@click.command(
    short_help=LAZY["compare"],
    epilog=examples("tfedge compare runs/small-* runs/large-* --html compared.html"),
)
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN RUN...",
    shell_complete=complete.runs,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as a page, too: the metric over latency, each mark as large as its file.",
)
@DEBUG
def command(runs: tuple[Path, ...], as_json: bool, html: Path | None, debug: bool) -> None:
    """Set RUNs side by side: the metric of their task, size, latency, and the keys of their
    pipelines that are not the same.

    They are ranked, and the Pareto front is marked, when the same examples judged them by the same
    metric and latency was measured in the same way; else it is said why not.
    """
    from tfedge import api
    from tfedge.files.artifact import write_text

    found = api.compare(runs)
    if html is not None:
        write_text(html, found.to_html())
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        show(found)
