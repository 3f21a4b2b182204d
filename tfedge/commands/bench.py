"""``tfedge bench``: measure models on devices."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, DEVICES, examples

if TYPE_CHECKING:
    from tfedge.api import Benchmark

_RUNTIMES = ("auto", "litert", "tflite-runtime", "pycoral", "tensorflow")
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _counts(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        counts = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise click.BadParameter(f"must be numbers from 1 on, such as 1,2,4; got {text!r}")
    return counts


@click.command(
    short_help=LAZY["bench"],
    epilog=examples(
        "tfedge bench model.tflite --threads 1,2,4",
        "tfedge bench float.tflite int8.tflite --compare --device ssh://pi@raspberrypi.local",
        "tfedge bench model.tflite --device adb --profile --json result.json",
    ),
)
@click.argument("models", nargs=-1, required=True, type=_FILE, metavar="MODEL...")
@click.option(
    "--device",
    "names",
    multiple=True,
    default=("local",),
    metavar="DEVICE",
    help="local, local:PYTHON, ssh://user@host[:port], adb[:SERIAL], or a name in devices.yaml. "
    "Can be given several times.  [default: local]",
)
@click.option(
    "--threads", default="1", callback=_counts, metavar="N,N", help="Numbers of threads: 1,2,4."
)
@click.option("--runs", type=click.IntRange(1), default=50, help="Timed inferences a process.")
@click.option("--warmup", type=click.IntRange(0), default=10, help="Untimed ones before them.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=3,
    help="Fresh processes for each model, device and number of threads; they take turns.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="Run each process so long instead of --runs, and show how it drifts.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    type=click.Choice(_RUNTIMES),
    help="Instead of the first that the device has. Can be given several times.",
)
@click.option(
    "--delegate",
    "delegates",
    multiple=True,
    metavar="DELEGATE",
    help="xnnpack, none, edgetpu, or PATH[,key=value…] of a library there. Can be given several "
    "times.  [default: xnnpack]",
)
@click.option("--golden", type=_FOLDER, help="A drop, or its golden folder: replay its pairs.")
@click.option("--profile", is_flag=True, help="Time for each kind of op and each op.")
@click.option("--pictures", "images", type=_FOLDER, help="Infer these images instead of noise.")
@click.option(
    "--accuracy",
    type=_FOLDER,
    help="Share of right answers on a folder with a folder for each class; of a detector mean "
    "average precision on images with boxes (Pascal VOC, COCO, YOLO, CSV) or those of a run.",
)
@click.option("--labels", type=_FILE, help="The classes for --accuracy, in the model's order.")
@click.option(
    "--fit",
    type=click.Choice(("crop", "stretch", "pad")),
    help="How images become square.  [default: as the drop or the run directory that the model is "
    "in says, else crop]",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Of inputs that a model leaves open: 1x224x224x3, or NAME=1x224x224x3. Can be given "
    "several times.",
)
@click.option("--compare", is_flag=True, help="Say how much faster each is than the first.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write everything there, samples too; - for stdout, with the table on stderr.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds for one process on a device.  [default: 1800, or what devices.yaml says]",
)
@DEVICES
@CACHE
@DEBUG
def command(
    models: tuple[Path, ...],
    names: tuple[str, ...],
    threads: tuple[int, ...],
    runs: int,
    warmup: int,
    processes: int,
    seconds: float | None,
    runtimes: tuple[str, ...],
    delegates: tuple[str, ...],
    golden: Path | None,
    profile: bool,
    images: Path | None,
    accuracy: Path | None,
    labels: Path | None,
    fit: str | None,
    shapes: tuple[str, ...],
    compare: bool,
    json_file: Path | None,
    timeout: float | None,
    devices: Path | None,
    cache: Path | None,
    debug: bool,
) -> None:
    """Measure .tflite MODELs on devices: latency, memory, and what they need to be trusted.

    Everything is measured by one script, tools/bench_tflite.py, which is brought to each device and
    checked there by its SHA-256. Models, devices, runtimes and delegates take turns, each time in a
    fresh process. docs/bench.md explains the figures.
    """
    from tfedge import api

    found = api.bench(
        models,
        devices=names,
        threads=threads,
        runs=runs,
        warmup=warmup,
        processes=processes,
        seconds=seconds,
        runtimes=runtimes,
        delegates=delegates,
        golden=golden,
        profile=profile,
        images=images,
        accuracy=accuracy,
        labels=labels,
        fit=fit,
        shape=shapes,
        compare=compare,
        timeout=timeout,
        devices_file=devices,
        cache=cache,
        progress=sys.stderr,
    )
    _tell(found, json_file)


def _tell(found: Benchmark, json_file: Path | None) -> None:
    """The table, the JSON, and DeviceError when golden pairs differ."""
    from tfedge.errors import DeviceError
    from tfedge.files.artifact import write_text
    from tfedge.report.bench import differing, document, table

    to_stdout = json_file is not None and str(json_file) == "-"
    click.echo(table(found.results, found.comparisons), err=to_stdout)
    if json_file is not None:
        facts = document(found.results, found.comparisons)
        content = json.dumps(facts, indent=1, allow_nan=False) + "\n"
        if to_stdout:
            click.echo(content, nl=False)
        else:
            write_text(json_file, content)
    if wrong := differing(found.results):
        hint = "runtimes may differ by some quanta, not in the answer: try another runtime there"
        raise DeviceError("\n".join(wrong), hint)
