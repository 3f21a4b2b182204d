"""``tfedge cache``: what the cache holds, and taking out what is old."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfedge.core.cleaning import Cleaning, Item


class _Quantity(click.ParamType):
    """A number with one of some units."""

    def __init__(self, name: str, units: dict[str, float]) -> None:
        self.name = name
        self._units = units

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value).strip()
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([A-Za-z])", text)
        if not found or found.group(2) not in self._units:
            units = ", ".join(self._units)
            self.fail(f"{text!r}: a number and one of {units}, as in 30{[*self._units][-1]}")
        return float(found.group(1)) * self._units[found.group(2)]


AGE = _Quantity("age", {"m": 60, "h": 3600, "w": 7 * 86_400, "d": 86_400})
SIZE = _Quantity("size", {"K": 1e3, "M": 1e6, "T": 1e12, "G": 1e9})


@click.group(
    "cache", short_help=LAZY["cache"], epilog=examples("tfedge cache"), invoke_without_command=True
)
@CACHE
@DEBUG
@click.pass_context
def command(ctx: click.Context, cache: Path | None, debug: bool) -> None:
    """Show what the cache holds, or take out what is old: finished stages, decoded images and
    features, downloads, weights. What goes is made again when it is needed."""
    from tfedge.core.cleaning import contents
    from tfedge.files.cache import cache_folder
    from tfedge.files.text import size_text

    ctx.obj = cache_folder(cache)
    if ctx.invoked_subcommand is not None:
        return
    items = contents(ctx.obj)
    click.echo(f"{ctx.obj}: {size_text(sum(item.size for item in items))}")
    click.echo("\n".join(table(items)), nl=bool(items))


@command.command(
    epilog=examples(
        "tfedge cache clean --dry-run", "tfedge cache clean --older-than 30d --max-size 5G"
    )
)
@click.option("--older-than", type=AGE, help="Take out what was not used for so long, as in 30d.")
@click.option(
    "--max-size", type=SIZE, help="Take out what was used longest ago until this is left, as in 5G."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@DEBUG
@click.pass_obj
def clean(
    cache: Path, older_than: float | None, max_size: float | None, dry_run: bool, debug: bool
) -> None:
    """Take out leftovers, what is old, and what is too much; say what.

    What a running process holds stays. Bytes that run directories share are not freed: they go
    with the runs. Without options only leftovers go: what killed runs and damage have left.
    """
    from tfedge.core.cleaning import clean as take_out

    done = take_out(
        cache,
        older_than=older_than,
        max_size=None if max_size is None else int(max_size),
        dry_run=dry_run,
    )
    tell(done, "would free" if dry_run else "freed", "run directories keep {} more of it")


def tell(done: Cleaning, what: str, more: str, beside: Sequence[str] = ()) -> None:
    """What goes, a line a kind, and ``beside``; how much that frees, and, where names elsewhere
    keep some, ``more`` with how much."""
    from tfedge.files.text import size_text

    for line in (*table(done.gone), *beside):
        click.echo(line)
    shared = sum(item.size for item in done.gone) - done.freed
    kept = f"; {more.format(size_text(shared))}" if shared else ""
    click.echo(f"{what} {size_text(done.freed)}{kept}")
    if done.held:
        click.echo(f"{len(done.held)} things stay: a running process holds them", err=True)


def table(items: Sequence[Item]) -> list[str]:
    """A line a kind, and a stage: how many, how large, how long since they were used."""
    from tfedge.files.text import columns, size_text

    groups: dict[str, list[Item]] = {}
    for item in items:
        name = f"stage {item.name}" if item.kind == "stage" else item.kind
        groups.setdefault(name, []).append(item)
    rows = [
        (
            name,
            str(len(group)),
            size_text(sum(item.size for item in group)),
            f"last used {_age(max(item.used for item in group))}",
        )
        for name, group in sorted(groups.items())
    ]
    return [f"  {line}" for line in columns(rows, left=(0, 3), gap=2)] if rows else []


def _age(used: float) -> str:
    days = (time.time() - used) / 86_400
    return f"{days:.0f} days ago" if days >= 2 else f"{max(0.0, days * 24):.0f} hours ago"
