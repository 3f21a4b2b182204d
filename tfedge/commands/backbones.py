"""``tfedge backbones``: the nets that ``backbone.name`` takes, from the catalogue alone."""

from __future__ import annotations

import json

import click

from tfedge.commands import complete
from tfedge.commands.options import DEBUG, examples


@click.command(
    "backbones", epilog=examples("tfedge backbones", "tfedge backbones EfficientNetLite0")
)
@click.argument("name", required=False, shell_complete=complete.backbones)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@DEBUG
def command(name: str | None, as_json: bool, debug: bool) -> None:
    """List the backbones; with NAME, one of them with its blocks.

    Pixels a side: the smallest allowed, and those it was trained at. Parameters are without head;
    MACs (multiply-accumulates) of one image at the native size. A file of weights can be given
    for each, and `none` starts from random numbers. int8: the way there that was tried on the net
    itself, with half of its weights pruned, and held; what came of it stands below.
    """
    from tfedge.catalog.backbones import BACKBONES
    from tfedge.config.spelling import did_you_mean
    from tfedge.errors import ConfigError
    from tfedge.tasks import backbones

    if name is not None and name not in BACKBONES:
        raise ConfigError([f"no backbone {name!r}{did_you_mean(name, BACKBONES)}"])
    rows = [BACKBONES[name]] if name else [*BACKBONES.values()]
    if as_json:
        facts = [backbones.facts(row) for row in rows]
        click.echo(json.dumps(facts[0] if name else facts, indent=1))
    else:
        click.echo(backbones.one(rows[0]) if name else backbones.everything(rows))
