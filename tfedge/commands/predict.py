"""``tfedge predict``: ask a model that ships about images or texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, MODEL, TASK, examples


@click.command(
    short_help=LAZY["predict"],
    epilog=examples(
        "tfedge predict runs/latest photos/*.jpg --top 1",
        'tfedge predict runs/latest --text "never again" --json',
        "tfedge predict runs/latest photos/ --draw drawn",
    ),
)
@MODEL
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--text", "texts", multiple=True, help="A text itself. Can be given several times.")
@click.option(
    "--top", type=click.IntRange(1), default=3, show_default=True, help="How many answers each."
)
@click.option(
    "--draw",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of a detector: write each image there with the boxes at or above the thresholds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each input.")
@TASK
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The same: its labels, one a line, in the order of its scores.  [default: those in its "
    "TFLite metadata]",
)
@click.option(
    "--fit",
    metavar="HOW",
    help="The same: how images become square: crop, stretch, pad.  [default: crop]",
)
@CACHE
@DEBUG
def command(
    model: Path,
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    top: int,
    draw: Path | None,
    as_json: bool,
    task: str | None,
    labels: Path | None,
    fit: str | None,
    cache: Path | None,
    debug: bool,
) -> None:
    """Ask a model about INPUTs: files, folders, patterns, or - for standard input.

    MODEL|DROP|RUN is a .tflite, a drop (a folder or a .zip) or a run directory. Inputs are read as
    in training: the drop or the run says how. Of standard input each line is a text, or all of it
    is one image. Ends with 4 when an input can't be read; the others are answered.
    """
    from tfedge import api
    from tfedge.core.process import quiet_libraries
    from tfedge.errors import DataError
    from tfedge.files.files import shown

    with quiet_libraries():
        answers = api.predict(
            model,
            inputs,
            texts=texts,
            top=top,
            task=task,
            labels=labels,
            fit=fit,
            draw=draw,
            stream=None if sys.stdin is None else sys.stdin.buffer,
            cache=cache,
            progress=sys.stderr,
        )
        count, failed = 0, 0
        for found in answers:
            count += 1
            failed += found.answer is None
            if as_json:
                click.echo(json.dumps(found.to_json(), allow_nan=False))
            elif found.answer is None:
                click.echo(f"{shown(found.input)}: {found.error}", err=True)
            else:
                drawn = [] if found.drawn is None else [f"drawn: {shown(str(found.drawn))}"]
                lines = [f"  {line}" for line in (*found.answer.lines, *drawn)]
                click.echo("\n".join([shown(found.input), *lines]))
    if failed:
        raise DataError([f"{failed} of {count} inputs can't be read"])
