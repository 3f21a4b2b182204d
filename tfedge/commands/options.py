"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where finished stages, weights and downloads are kept.  [default: ~/.cache/tfedge, or "
    "$TFEDGE_CACHE]",
)
DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
DEVICES = click.option(
    "--devices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file that gives devices their names.  [default: ./devices.yaml, else "
    "~/.config/tfedge/devices.yaml]",
)


def examples(*lines: str) -> str:
    """The end of a command's help: command lines that do what most people want of it."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
