"""``tfedge doctor``: what this machine has for tfedge, and what it lacks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, examples
from tfedge.commands.screen import show


@click.command(
    short_help=LAZY["doctor"], epilog=examples("tfedge doctor", "tfedge doctor --network")
)
@click.option("--network", is_flag=True, help="Ask servers whether weights can be had there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CACHE
@DEBUG
def command(network: bool, as_json: bool, cache: Path | None, debug: bool) -> None:
    """Say what this machine has for tfedge: libraries, processor, GPU, runtimes, space, weights,
    programs; of what it lacks what that would enable, and what brings it.

    Nothing leaves this machine without --network. Ends with 3 when something is missing that every
    run needs.
    """
    from tfedge import api
    from tfedge.errors import MissingDependency
    from tfedge.report.doctor import lines

    found = api.doctor(cache=cache, network=network)
    lacking = [one for one in found if one.needed]
    if as_json:
        rows = [asdict(one) for one in found]
        facts = {"schema": "tfedge.doctor/1", "ok": not lacking, "findings": rows}
        click.echo(json.dumps(facts, indent=1))
    else:
        show("\n".join(lines(found)))
    if lacking:
        names = ", ".join(one.what for one in lacking)
        commands = "; ".join(dict.fromkeys(one.command for one in lacking))
        raise MissingDependency(f"a run needs what is missing here: {names}", commands)
