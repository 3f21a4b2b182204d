"""``tfedge clean``: space, from the cache and from old runs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfedge.commands import LAZY
from tfedge.commands.cache import AGE, SIZE, tell
from tfedge.commands.options import CACHE, DEBUG, examples

if TYPE_CHECKING:
    from tfedge.core.cleaning import Cleaning

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(
    short_help=LAZY["clean"],
    epilog=examples("tfedge clean --older-than 30d --max-size 5G --runs runs"),
)
@click.option("--older-than", type=AGE, help="What was not used for so long, as in 30d.")
@click.option(
    "--max-size", type=SIZE, help="What was used longest ago, until this is left, as in 5G."
)
@click.option("--runs", type=_FOLDER, help="A folder of runs, whose old ones go, too.")
@click.option(
    "--latest", is_flag=True, help="Of the runs also the one that the link latest names, if old."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --yes or --dry-run.")
@CACHE
@DEBUG
def command(
    older_than: float | None,
    max_size: float | None,
    runs: Path | None,
    latest: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    cache: Path | None,
    debug: bool,
) -> None:
    """Free space: say what of the cache, and with --runs of the runs in a folder, is left over, old
    or too much, ask, and take it out.

    What a running process holds stays, and so does the run that the link latest names. What goes
    from the cache is made again when it is needed; a run that goes takes its report and its drops
    along. JSON has freed (bytes), and in gone and held the things that go and stay, each with kind,
    name, size, used (Unix seconds) and paths.
    """
    from tfedge import api

    if as_json and not (yes or dry_run):
        raise click.UsageError("--json can't ask: give --yes or --dry-run")
    clean = partial(api.clean, cache=cache, runs=runs, latest=latest)
    size = None if max_size is None else int(max_size)
    plan = clean(older_than=older_than, max_size=size, dry_run=True)
    if not as_json:
        _tell(plan, "would free")
    if dry_run or not plan.gone:
        if as_json:
            click.echo(json.dumps(plan.to_json(), indent=1))
        return
    if not yes and not _agreed():
        click.echo("nothing was freed")
        return
    done = clean(among=plan.gone)
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
    else:
        _tell(done, "freed")


def _agreed() -> bool:
    try:
        return click.confirm("Free it?")
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise
        # nobody is there
        raise click.UsageError("nobody answers: give --yes, or --dry-run to see it alone") from None


def _tell(done: Cleaning, what: str) -> None:
    from tfedge.core.cleaning import RUN
    from tfedge.files.files import shown

    runs = [f"  {shown(str(item.paths[0]))}" for item in done.gone if item.kind == RUN]
    tell(done, what, "{} more of it stay, under names in runs or in the cache", runs)
