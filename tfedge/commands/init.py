"""``tfedge init``: a first pipeline file for a folder of examples."""

from __future__ import annotations

from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import DEBUG, examples, setting


@click.command(
    short_help=LAZY["init"],
    epilog=examples(
        "tfedge init photos -o photos.yaml",
        "tfedge init photos --target android --budget 5m",
        "tfedge init reviews.csv --set data.csv.label=stars",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--target", metavar="TARGET", help="android, coral or pi.  [default: Linux]")
@click.option("--budget", metavar="TIME", help="What a run may take, such as 5m.  [default: 10m]")
@setting("Decide a key, as in --set data.csv.label=stars.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; one that is there stays as it is.  [default: standard output]",
)
@DEBUG
def command(
    folder: Path,
    target: str | None,
    budget: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    debug: bool,
) -> None:
    """Look at FOLDER and write a first pipeline file for it, with the reason for each choice.

    FOLDER holds a folder for each class, of images or of .txt, perhaps below train, val and test;
    or images with boxes (Pascal VOC, COCO, YOLO, CSV); or a table of paths or texts with labels,
    which can be given itself. What it leaves open is asked, and --set answers. Nothing is trained.
    """
    from tfedge import api

    text = api.init(
        folder, target=target, budget=budget or api.BUDGET, overrides=overrides, out=out
    )
    if out is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{out}: tfedge check {out}, then tfedge run {out}")
