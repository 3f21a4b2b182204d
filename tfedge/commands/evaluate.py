"""``tfedge evaluate``: a model that ships, measured on labelled examples."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, MODEL, TASK, examples, setting


@click.command(
    short_help=LAZY["evaluate"],
    epilog=examples(
        "tfedge evaluate runs/latest photos/",
        "tfedge evaluate drops/linux.zip reviews.csv --set data.csv.text=review --json",
    ),
)
@MODEL
@click.argument("labelled", metavar="FOLDER|TABLE|RUN")
@click.option(
    "--split",
    type=click.Choice(("train", "val", "test")),
    help="Which examples.  [default: of a run those that it evaluated on, else the first that are "
    "there of test, val and train, else all]",
)
@setting(
    "A key of a pipeline file that says how the examples lie there, such as "
    "data.csv.text=review or data.annotations=coco."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@TASK
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The same: its labels, one a line, in the order of its scores.  [default: those in its "
    "TFLite metadata, else the examples' classes in the order of their names]",
)
@click.option(
    "--fit",
    type=click.Choice(("crop", "stretch", "pad")),
    help="The same: how images become square.  [default: crop]",
)
@CACHE
@DEBUG
def command(
    model: Path,
    labelled: str,
    split: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    task: str | None,
    labels: Path | None,
    fit: str | None,
    cache: Path | None,
    debug: bool,
) -> None:
    """Measure a model on labelled examples: accuracy, each class with its 95 % intervals, and what
    is confused; of a detector mean average precision.

    MODEL|DROP|RUN is a .tflite, a drop (a folder or a .zip) or a run directory. The examples are
    what a pipeline's data.path can be: a folder with a folder for each class; a table of texts;
    images with boxes in Pascal VOC, COCO, YOLO or CSV; or those of a RUN. They are read as in
    training: the drop or the run says how. JSON has the figures as metrics.json has them, all
    shares of 1.
    """
    from tfedge import api
    from tfedge.core.process import quiet_libraries

    with quiet_libraries():
        found = api.evaluate(
            model,
            labelled,
            split=split,
            overrides=overrides,
            task=task,
            labels=labels,
            fit=fit,
            cache=cache,
            progress=sys.stderr,
        )
    click.echo(json.dumps(found, indent=1, allow_nan=False) if as_json else found)
