"""Options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path

import click

CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TFEDGE_CACHE",
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


def cache_folder(given: Path | None) -> Path:
    """The folder that ``--cache`` names, or the usual one."""
    if given is not None:
        return given.expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tfedge"
