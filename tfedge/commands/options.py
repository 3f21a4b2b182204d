"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfedge.commands import complete

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
MODEL = click.argument(
    "model", type=click.Path(path_type=Path), metavar="MODEL|DROP|RUN", shell_complete=complete.runs
)
RUN = click.argument(
    "directory",
    type=click.Path(path_type=Path),
    default=Path("runs/latest"),
    metavar="[RUN]",
    shell_complete=complete.runs,
)
TASK = click.option(
    "--task",
    metavar="TASK",
    shell_complete=complete.tasks,
    help="Of a .tflite that lies in no drop or run.",
)


def setting(text: str) -> Callable[[Any], Any]:
    """``--set KEY=VALUE``, with what it is for."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete.keys,
        help=f"{text} Can be given several times.",
    )


def examples(*lines: str) -> str:
    """The end of a command's help: command lines that do what most people want of it."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
