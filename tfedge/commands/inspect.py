"""``tfedge inspect``: what is in a .tflite, without TensorFlow and without running it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfedge.commands.options import DEBUG, examples


@click.command(
    "inspect", epilog=examples("tfedge inspect model.tflite", "tfedge inspect model.tflite --json")
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@DEBUG
def command(model: Path, as_json: bool, debug: bool) -> None:
    """Show what is in MODEL, a .tflite file: ops, tensors, zeros, cost, Edge TPU mapping.

    The mapping is predicted without Google's compiler; of a compiled model it is read. Nothing is
    run, and a broken file is refused.
    """
    from tfedge import api
    from tfedge.report.inspect import text

    facts = api.inspect(model).to_json()
    click.echo(json.dumps(facts, indent=1, allow_nan=False) if as_json else text(facts))
