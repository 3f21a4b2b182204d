"""``tfedge bench``: measure models on devices."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, DEVICES, cache_folder

if TYPE_CHECKING:
    from tfedge.bench.result import Result
    from tfedge.devices.schema import BenchDevice
    from tfedge.devices.session import Plan
    from tfedge.report.versus import Asked

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


@click.command(short_help=LAZY["bench"])
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
@click.option("--pictures", type=_FOLDER, help="Infer these images instead of noise.")
@click.option("--accuracy", type=_FOLDER, help="Top-1 on a folder with a folder for each class.")
@click.option("--labels", type=_FILE, help="The classes for --accuracy, in the model's order.")
@click.option(
    "--fit",
    type=click.Choice(("crop", "stretch", "pad")),
    help="How images become square.  [default: as the drop or the run directory that the model is "
    "in says, else crop]",
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
    pictures: Path | None,
    accuracy: Path | None,
    labels: Path | None,
    fit: str | None,
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
    from tfedge.devices.inventory import finder
    from tfedge.devices.session import Plan

    find = finder(devices)
    _distinct("--device", names)
    if labels is not None and accuracy is None:
        raise click.UsageError("--labels is for --accuracy")
    if fit is not None and accuracy is None and pictures is None:
        raise click.UsageError("--fit is for --pictures and --accuracy")
    given: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    found = [find(_named(name), Path()).model_copy(update=given) for name in names]
    plan = Plan(
        threads=threads,
        runs=runs,
        warmup=warmup,
        processes=processes,
        seconds=seconds,
        pictures=pictures,
        golden=None if golden is None else _golden(golden),
        accuracy=accuracy,
        labels=labels,
        profile=profile,
    )
    titles = _titles(models)
    asked = _asked(titles, names, runtimes, delegates, threads)
    if compare:
        _comparable(asked, found, processes)
    by_title = dict(zip(titles, models, strict=True))
    fits = _fits(by_title, fit) if accuracy or pictures else {}
    measured = _measure(by_title, fits, found, asked, plan, cache_folder(cache))
    _tell(measured, found if compare else [], json_file)


def _named(name: str) -> BenchDevice:
    from tfedge.devices.schema import BenchDevice

    return BenchDevice(name=name)


def _distinct(what: str, items: Sequence[object]) -> None:
    twice = next((item for i, item in enumerate(items) if item in items[:i]), None)
    if twice is not None:
        raise click.UsageError(f"{what} {twice} is given twice")


def _titles(models: Sequence[Path]) -> list[str]:
    """Names for the results: the files', with as many folders as tell them apart."""
    _distinct("MODEL", models)
    absolute = [Path(os.path.abspath(model)) for model in models]  # noqa: PTH100 (links are names)
    for depth in range(1, max(len(path.parts) for path in absolute) + 1):
        titles = [Path(*path.parts[-depth:]).with_suffix("").as_posix() for path in absolute]
        if len(set(titles)) == len(titles):
            return titles
    return [path.as_posix() for path in absolute]


def _golden(folder: Path) -> Path:
    """The folder with the pairs: the one given, or that of the drop given."""
    from tfedge.errors import ArtifactError

    for place in (folder / "golden", folder):
        if any(place.glob("*.input.bin")):
            return place
    hint = "give a drop, or a folder with 000.input.bin, 000.output.bin …"
    raise ArtifactError(folder, "no golden pairs in it", hint)


def _fits(models: Mapping[str, Path], fit: str | None) -> dict[str, str | None]:
    """How images become square for each model, as asked or as it is known here."""
    from tfedge.bench.fit import fit_of

    return {title: fit or fit_of(path) for title, path in models.items()}


def _asked(
    titles: Sequence[str],
    names: Sequence[str],
    runtimes: Sequence[str],
    delegates: Sequence[str],
    threads: Sequence[int],
) -> list[Asked]:
    """Every combination, in the order of measurement and of the table. An empty runtime or
    delegate is the device's own."""
    from tfedge.report.versus import Asked

    _distinct("--runtime", runtimes)
    _distinct("--delegate", delegates)
    return [
        Asked(title, name, runtime, delegate, count)
        for count in threads
        for name in names
        for runtime in runtimes or ("",)
        for delegate in delegates or ("",)
        for title in titles
    ]


def _comparable(asked: Sequence[Asked], devices: Sequence[BenchDevice], processes: int) -> None:
    """Refuse before anything is measured what would end without a single ratio."""
    from tfedge.devices.inventory import place
    from tfedge.report.versus import axes

    if processes < 2:
        raise click.UsageError("--compare needs --processes=2 or more: one may be lucky")
    several = axes(asked)
    if not several:
        what = "two models, runtimes, delegates or numbers of threads"
        raise click.UsageError(f"--compare needs {what}, or two interpreters of one machine")
    if several == ["device"] and len({place(device) for device in devices}) == len(devices):
        names = ", ".join(device.name for device in devices)
        raise click.UsageError(
            f"--compare: {names} are different devices, which are no ratio; leave --compare out to "
            "see their figures one below the other"
        )


def _measure(
    models: Mapping[str, Path],
    fits: Mapping[str, str | None],
    found: Sequence[BenchDevice],
    asked: Sequence[Asked],
    plan: Plan,
    cache: Path,
) -> dict[Asked, Result]:
    from functools import partial

    from tfedge.core.process import stoppable
    from tfedge.core.progress import Reporter
    from tfedge.devices.session import Subject, measure, opened
    from tfedge.devices.tools import tools
    from tfedge.tflite.reader import read

    for path in models.values():  # a broken file crashes an interpreter
        read(path)
    by_name = {device.name: device for device in found}
    reporter = Reporter(sys.stderr)
    programs = tools(found, cache, reporter)
    with stoppable(), opened(found) as devices:
        subjects = [
            Subject(
                one.model,
                models[one.model],
                devices[one.device],
                runtime=one.runtime or by_name[one.device].runtime,
                delegate=one.delegate or by_name[one.device].delegate,
                timeout=by_name[one.device].timeout,
                tool=programs.get(one.device),
                fit=fits.get(one.model),
            )
            for one in asked
            if one.threads == plan.threads[0]
        ]
        try:
            update = partial(reporter.update, "measuring", unit="processes")
            results = measure(subjects, plan, progress=update)
        finally:
            reporter.clear()
    return dict(zip(asked, results, strict=True))


def _tell(
    measured: Mapping[Asked, Result], compared: Sequence[BenchDevice], json_file: Path | None
) -> None:
    """The table, the JSON, and DeviceError when golden pairs differ; ``compared``: none, or all."""
    from tfedge.devices.inventory import place
    from tfedge.errors import DeviceError
    from tfedge.files.artifact import write_text
    from tfedge.report.bench import differing, document, table
    from tfedge.report.versus import side_by_side

    results = list(measured.values())
    places = {device.name: place(device) for device in compared}
    ratios = list(side_by_side(measured, places)) if compared else []
    to_stdout = json_file is not None and str(json_file) == "-"
    click.echo(table(results, ratios), err=to_stdout)
    if json_file is not None:
        content = json.dumps(document(results, ratios), indent=1, allow_nan=False) + "\n"
        if to_stdout:
            click.echo(content, nl=False)
        else:
            write_text(json_file, content)
    if wrong := differing(results):
        hint = "runtimes may differ by some quanta, not in the answer: try another runtime there"
        raise DeviceError("\n".join(wrong), hint)
