"""``tfedge template``: the pipeline files that come with tfedge."""

from __future__ import annotations

import click

from tfedge.commands import LAZY, complete
from tfedge.commands.options import DEBUG, examples


@click.command(
    short_help=LAZY["template"],
    epilog=examples("tfedge template", "tfedge template photos > mine.yaml"),
)
@click.argument("name", required=False, shell_complete=complete.templates)
@DEBUG
def command(name: str | None, debug: bool) -> None:
    """Print the pipeline file NAME, to begin with: tfedge template photos > mine.yaml

    photos has every key with its meaning. Without NAME all of them are listed.
    """
    from tfedge import api

    if name is not None:
        click.echo(api.template(name), nl=False)
        return
    names = api.templates()
    for one, about in names.items():
        click.echo(f"{one.ljust(max(map(len, names)))}  {about}")
