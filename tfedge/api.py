"""tfedge from Python: ``from tfedge import load, check, run, evaluate, bench, inspect, verify``.

Everything here can be called from a script, a notebook or a thread. Nothing is printed, nothing
ends the process, and its output is not redirected; errors are those of ``tfedge.errors``. Paths may
be text. What is heavy is imported when a function needs it: TensorFlow by ``run`` alone.

Where an error speaks of ``--option``, it means the command's option, which is an argument here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from tfedge.errors import ConfigError

if TYPE_CHECKING:
    from tfedge.benchmark.result import Result
    from tfedge.core.cleaning import Cleaning, Item
    from tfedge.core.doctor import Finding
    from tfedge.core.estimate import Estimate
    from tfedge.core.plan import Selection, Step
    from tfedge.core.progress import RunProgress
    from tfedge.core.runs import FoundRun
    from tfedge.devices.matrix import Combination, Matrix
    from tfedge.drops.asked import Prediction
    from tfedge.drops.verify import Check
    from tfedge.edgetpu.inspect import Inspection
    from tfedge.pipeline.load import Loaded
    from tfedge.report.compare import RunComparison
    from tfedge.report.versus import SpeedComparison

AnyPath = str | os.PathLike[str]
Overrides = Mapping[str, object] | Sequence[str]

BUDGET = "10m"  # of a run that ``init`` drafts

_TEMPLATES = Path(__file__).parent / "templates"  # in a checkout a link to pipelines/
_SCHEMA = "tfedge.schema.json"  # beside them
_EDITOR = "# yaml-language-server: $schema={}\n"  # the first line of a pipeline file

# What run.json holds under ``metrics``, and what ``evaluate`` measures of one model: the one place
# that says which types these are.
RunMetrics = dict[str, Any]
ModelMetrics = dict[str, Any]


@dataclass(frozen=True)
class StageRun:
    """How a stage of a run went."""

    name: str
    key: str  # SHA-256 of all that went into it
    cache: str  # hit, miss, or none: never cached
    seconds: float


@dataclass(frozen=True)
class Run:
    """A run that has ended, and what it left in its directory. ``result`` is its ``run.json``."""

    directory: Path
    result: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, directory: AnyPath) -> Run:
        """A run of this or another process. ArtifactError when it has not ended, or is none."""
        from tfedge.core.result import SCHEMA
        from tfedge.core.rundir import RESULT
        from tfedge.errors import ArtifactError
        from tfedge.files.artifact import read_json
        from tfedge.tasks.table import DEFAULT, task_of

        path = Path(directory).resolve()
        run = cls(path, read_json(path / RESULT))
        try:
            if run.result["schema"] != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            _ = run.pipeline, run.status, run.seconds, run.stages, run.metrics, run.model, run.drops
            task_of(run.result.get("task", DEFAULT))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            what = f"does not say what a run says: {type(error).__name__} {error}"
            raise ArtifactError(path / RESULT, what, "run the pipeline again") from error
        return run

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return str(self.result["pipeline"])

    @property
    def status(self) -> str:
        """``ok``, ``failed``, ``gate failed`` or ``interrupted``."""
        return str(self.result["status"])

    @property
    def seconds(self) -> float:
        """Wall time of the whole run."""
        return float(self.result["seconds"])

    @property
    def stages(self) -> tuple[StageRun, ...]:
        """Those that were done, in order."""
        return tuple(StageRun(**row) for row in self.result["stages"])

    @property
    def metrics(self) -> RunMetrics:
        """What was measured of the exported files: ``float`` and ``int8``, each with ``top1``,
        ``recall_macro`` … as shares of 1, ``agreement``, ``phases``. Empty without ``evaluate``."""
        return dict(self.result["metrics"])

    @property
    def model(self) -> Path | None:
        """The .tflite that ships; None when the run did not come so far."""
        found = self.result["model"]
        return self.directory / found["path"] if found else None

    @property
    def drops(self) -> dict[str, Path]:
        """The folder of each drop, by its target: linux, coral, android."""
        return {drop["target"]: self.directory / drop["path"] for drop in self.result["drops"]}

    def summary(self, told: Collection[str] = ()) -> str:
        """What a person reads when a run has ended: float against int8, warnings, where things
        lie. Warnings and proposals that were ``told``, as the run has noted them, are left out."""
        from tfedge.report.table import summary

        return summary(self.result, self.directory, told)

    @property
    def report(self) -> Path | None:
        """``report.md``, beside which ``report.html`` has the same as a page; None for a run that
        failed before there was something to report."""
        path = self.directory / "report.md"
        return path if path.is_file() else None

    @cached_property
    def benchmark(self) -> tuple[Result, ...]:
        """What was measured of latency and memory, with all samples. Devices that were away are
        left out."""
        from tfedge.benchmark.measurements import Measurements

        if not self.result["benchmark"]:
            return ()
        return Measurements.read(self.directory / "benchmark" / "benchmark.json").results


class Measured(ModelMetrics):
    """What :func:`evaluate` measured, by name, ready for JSON. ``lines`` say it for people."""

    def __init__(self, found: Mapping[str, Any], lines: tuple[str, ...]) -> None:
        super().__init__(found)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class DryRun:
    """What a run would do: each stage, and whether the cache has its result."""

    pipeline: Loaded
    steps: tuple[Step, ...]
    cache: Path
    estimate: Estimate | None = None  # how long it would take, where earlier runs tell

    def lines(self) -> list[str]:
        """For people: the stages, what trains, gates, devices, notes, how long it would take."""
        from tfedge.core.plan import lines

        told = [] if self.estimate is None else [str(self.estimate)]
        return [*lines(self.pipeline, self.steps, self.cache), *told]

    def __str__(self) -> str:
        return "\n".join(self.lines())


@dataclass(frozen=True)
class Benchmark:
    """What was measured. ``results`` has one for each number of threads, device, runtime, delegate
    and model, the models varying fastest; ``comparisons`` each of them against the first."""

    results: tuple[Result, ...]
    comparisons: tuple[SpeedComparison, ...] = ()


def load(
    path: AnyPath, overrides: Overrides = (), *, devices_file: AnyPath | None = None
) -> Loaded:
    """Read a pipeline file and check it.

    Args:
        path: the YAML file.
        overrides: values that replace those of the file, by dotted key:
            ``{"data.image_size": 97}``, or as the command line has them,
            ``["data.image_size=97"]``. Paths in them are relative to the working directory, those
            in the file to its folder.
        devices_file: gives the devices of ``benchmark.devices`` their addresses; None:
            ``devices.yaml`` in the working directory, else in ``~/.config/tfedge``.

    Returns:
        The checked pipeline with all defaults (``.pipeline``), and what it was read from.

    Raises:
        ConfigError: every problem at once, with file, line and column.
    """
    from tfedge.devices.inventory import finder
    from tfedge.pipeline.load import load

    find = finder(_path(devices_file))
    loaded = load(Path(path), _assignments(overrides), find)
    return replace(loaded, notes=(*loaded.notes, *find.notes))


def check(
    pipeline: Loaded | AnyPath,
    overrides: Overrides = (),
    *,
    devices_file: AnyPath | None = None,
    cache: AnyPath | None = None,
    from_stage: str | None = None,
    to_stage: str | None = None,
    force: bool = False,
    runs: AnyPath = "runs",
) -> DryRun:
    """Check a pipeline and say what a run of it would do. Nothing is fetched, trained or written.

    The arguments are those of :func:`run`. ConfigError with every problem of the pipeline at once,
    and with those of its examples, if it says where they are; DataError when only these are not
    there or can't be trained on, as far as the names of files and folders tell.
    """
    from tfedge.core.estimate import estimate
    from tfedge.core.plan import examples_problem, plan
    from tfedge.files.cache import cache_folder

    where = cache_folder(_path(cache))
    try:
        loaded, selection = _selected(
            pipeline, overrides, devices_file, from_stage, to_stage, force=force
        )
    except ConfigError as error:
        more = examples_problem(error.data, where) if error.data is not None else None
        if more is None:
            raise
        raise ConfigError([*error.problems, *more.problems], error.hint or more.hint) from None
    steps = tuple(plan(loaded, selection, where))
    for problem in (step.problem for step in steps if step.problem):
        raise problem
    return DryRun(loaded, steps, where, estimate(loaded, selection, steps, where, Path(runs)))


def run(
    pipeline: Loaded | AnyPath,
    overrides: Overrides = (),
    *,
    devices_file: AnyPath | None = None,
    cache: AnyPath | None = None,
    runs: AnyPath = "runs",
    run_dir: AnyPath | None = None,
    from_stage: str | None = None,
    to_stage: str | None = None,
    force: bool = False,
    progress: RunProgress | TextIO | None = None,
    capture_output: bool = False,
) -> Run:
    """Run a pipeline: train, prune, quantize, convert, evaluate, benchmark, package.

    What was done before with the same inputs comes from the cache, so a run that was stopped goes
    on when it is called again. One run at a time in a process. Ctrl-C and SIGTERM stop it with
    KeyboardInterrupt when it is called in the main thread; their handlers are put back afterwards.

    Args:
        pipeline: what :func:`load` returned, or a pipeline file.
        overrides, devices_file: as for :func:`load`; only with a file.
        cache: the folder of finished stages, weights and features; None: ``$TFEDGE_CACHE``, else
            ``~/.cache/tfedge``.
        runs: the folder in which the run gets a new directory; ``latest`` there points to it.
        run_dir: this very directory instead; an earlier run in it is replaced.
        from_stage: take every stage before it from the cache, or fail.
        to_stage: the last stage.
        force: run again what the cache has (with ``from_stage``: from there).
        progress: hears how it goes; a stream gets lines for people, or, if it is a terminal, a list
            that is drawn anew; ``RunEvents(tell)`` tells events as JSON has them, those of
            ``run --json``; None is silence.
        capture_output: redirect the process's standard output and error into each stage's
            ``log.txt`` while it runs, child processes included. For programs that own their
            process.

    Raises:
        ConfigError: the pipeline or an argument is wrong.
        GateFailed: a limit of ``evaluate.gates`` was missed. ``Run.read(error.run_dir)`` has what
            was measured, and the report.
        TfedgeError: any other reason; ``run_dir`` is the run's directory once there is one. A bug
            in a stage is a StageError with the traceback in that stage's ``log.txt``.
    """
    from tfedge.core import engine, rundir, tracking
    from tfedge.core.process import one_run
    from tfedge.core.progress import shown_on
    from tfedge.core.stages import STAGES
    from tfedge.files.artifact import disk_errors
    from tfedge.files.cache import cache_folder

    loaded, selection = _selected(
        pipeline, overrides, devices_file, from_stage, to_stage, force=force
    )
    if lacks := tracking.missing(loaded):
        raise lacks
    shown, there = shown_on(progress), Path(runs if run_dir is None else run_dir)
    with one_run():
        with disk_errors(there):
            if run_dir is not None:
                opened = rundir.reuse(there, [stage.name for stage in STAGES])
            else:
                opened = rundir.create(there, loaded.pipeline.name, loaded.resolved())
        with opened:
            for note in loaded.notes:
                shown.note(f"note: {note}")
            with tracking.tracked(loaded, opened.path, shown.note):
                result = engine.run(
                    loaded,
                    selection,
                    cache=cache_folder(_path(cache)),
                    run_dir=opened,
                    progress=shown,
                    capture_output=capture_output,
                )
    return Run(opened.path, result)


def runs(folder: AnyPath = "runs") -> list[FoundRun]:
    """The runs in a folder, the oldest first, also those that are at work, were killed, or can't
    be read: ``status`` says so. ArtifactError when the folder can't be read."""
    from tfedge.core.runs import find

    return find(Path(folder))


def clean(
    *,
    older_than: float | None = None,
    max_size: int | None = None,
    runs: AnyPath | None = None,
    latest: bool = False,
    among: Sequence[Item] | None = None,
    dry_run: bool = False,
    cache: AnyPath | None = None,
) -> Cleaning:
    """Free space: take out what is left over in the cache, what is old, and what is too much.

    Args:
        older_than: seconds: what was not used for so long goes.
        max_size: bytes: what was used longest ago goes until no more are left, of the cache and
            ``runs`` together.
        runs: a folder of runs, of which old ones go, too; None: none goes.
        latest: the run that the link ``latest`` in that folder names may go as well.
        among: what a call with ``dry_run`` found: nothing else goes.
        dry_run: only find what would go.
        cache: see :func:`run`.

    Returns:
        What has gone (``gone``, ``freed`` bytes), and what should have but is held by a running
        process (``held``).

    Raises:
        ArtifactError: the disk refuses, or the folder of runs can't be read.
    """
    from tfedge.core.cleaning import clean
    from tfedge.files.cache import cache_folder

    return clean(
        cache_folder(_path(cache)),
        older_than=older_than,
        max_size=max_size,
        runs=_path(runs),
        latest=latest,
        among=among,
        dry_run=dry_run,
    )


def compare(several: Sequence[AnyPath | Run]) -> RunComparison:
    """Set finished runs side by side: accuracy, size, latency, and what their pipelines differ in.

    They are ranked, with the Pareto front of the three, when the same examples judged them by the
    same metric and their latency was measured in the same way; else ``unranked`` says why not.
    What no run has measured is left out of the front; what one alone lacks is a reason, too.

    Raises:
        ConfigError: fewer than two, or one of them twice.
        ArtifactError: one has not ended, or its files are not what they must be.
    """
    from tfedge.report.compare import compare

    found = [one if isinstance(one, Run) else Run.read(one) for one in several]
    return compare([(one.directory, one.result) for one in found])


def write_report(
    run: AnyPath | Run,
    *,
    html: AnyPath | None = None,
    md: AnyPath | None = None,
    cache: AnyPath | None = None,
    progress: RunProgress | TextIO | None = None,
) -> list[Path]:
    """Write the report of a run that has ended, or failed, anew from what it left.

    Args:
        run: the run or its directory.
        html, md: write the page, or the Markdown, there; neither: both into the run's directory,
            in place of the old ones.
        cache: where decoded examples are looked for; see :func:`run`.
        progress: hears what can't be shown, such as the settings of a pipeline of another version.

    Returns:
        The files that were written.

    Raises:
        ArtifactError: the run has not ended, or its files are not what they must be, such as those
            of an earlier version which lack what this one tells.
    """
    from tfedge.core.progress import shown_on
    from tfedge.files.cache import cache_folder
    from tfedge.report.again import origin_of, write

    found = run if isinstance(run, Run) else Run.read(run)
    origin = origin_of(found.directory, cache_folder(_path(cache)), shown_on(progress))
    return write(found.directory, found.result, origin, _path(html), _path(md))


def evaluate(
    model: AnyPath | Run,
    examples: AnyPath | Run | None = None,
    *,
    split: str | None = None,
    overrides: Overrides = (),
    task: str | None = None,
    labels: AnyPath | Sequence[str] | None = None,
    fit: str | None = None,
    top_k: int | None = None,
    cache: AnyPath | None = None,
    progress: RunProgress | TextIO | None = None,
) -> Measured:
    """Measure a .tflite on labelled examples, through LiteRT on all cores: the figures of its task.

    Args:
        model: a drop (its folder or its .zip), a run or its directory, or a .tflite. A file in a
            drop or a run directory is fed and judged as these say.
        examples: what a pipeline's ``data.path`` of the model's task can be: a folder with a folder
            for each class, a table, images with boxes in Pascal VOC, COCO, YOLO or CSV; or a run or
            its directory, whose own examples are taken; None: those of the run ``model``.
        split: ``train``, ``val`` or ``test``; None: of a run the one that it evaluated on, else the
            first that is there of test, val and train, else all.
        overrides: keys that say how labelled files lie there, and what is measured, as in
            :func:`load`: ``data.csv``, of boxes ``data.annotations`` and ``data.unlabelled``, and
            of classifiers ``evaluate.top_k``.
        task, labels, fit: for a .tflite by itself: its task, its labels in the order of its scores
            (or a file with one a line), how an image becomes square; None: what its TFLite metadata
            say, else an image classifier of the examples' classes, in the order of their names (of
            a run's examples in its own), and images are cropped (fitted as the run's).
        top_k: the same as ``evaluate.top_k``.
        cache: see :func:`run`.
        progress: hears how far it is; a stream gets lines for people.

    Returns:
        ``task``, ``split`` (None: they are not split), ``n``, and all shares of 1. Of a classifier
        ``top1`` with ``top1_ci95``, ``top_k``, ``precision_macro``, ``recall_macro``, ``f1_macro``,
        ``ece``, ``reliability``, ``per_class`` with 95 % intervals by Wilson, and ``confusion``,
        examples by true and answered class. Of a detector ``map50`` with ``map50_ci95``, ``map``
        with ``map_ci95``, ``boxes``, and ``per_class``, intervals by resampling images. As
        ``Run.metrics`` has it for each model.

    Raises:
        ConfigError: an argument makes no sense, or what is needed is said twice or by nobody.
        DataError: an example is broken, or the examples' classes are not the model's.
        ArtifactError, DropError, UnsupportedModel: the model is not what it must be.
        MissingDependency: what reads the task's examples is not installed.
    """
    from tfedge.core.installation import lacking
    from tfedge.core.progress import shown_on
    from tfedge.data.index import SPLITS
    from tfedge.files.cache import cache_folder
    from tfedge.tasks.drop import Told

    if missing := lacking(["pillow"]):
        raise missing
    from tfedge.drops.judged import Asked, judged

    if examples is None:
        if not isinstance(model, Run):
            raise ConfigError(["evaluate: no examples for a model that is no run: name a folder"])
        examples = model
    _one_of("fit", fit, ("crop", "stretch", "pad"))
    _one_of("split", split, SPLITS)
    given = [*_assignments(overrides), *([] if top_k is None else [f"evaluate.top_k={top_k}"])]
    asked = Asked(
        str(examples.directory if isinstance(examples, Run) else os.fspath(examples)),
        split,
        given,
        task,
        Told(None if labels is None else _lines(labels), fit),
    )
    shown = shown_on(progress)
    try:
        found = judged(_model_of(model), asked, cache_folder(_path(cache)), shown)
    finally:
        shown.clear()
    return Measured(found.to_json(), tuple(found.lines()))


def predict(
    model: AnyPath | Run,
    inputs: AnyPath | Sequence[AnyPath] = (),
    *,
    texts: str | Sequence[str] = (),
    top: int = 3,
    task: str | None = None,
    labels: AnyPath | Sequence[str] | None = None,
    fit: str | None = None,
    draw: AnyPath | None = None,
    stream: BinaryIO | None = None,
    cache: AnyPath | None = None,
    progress: RunProgress | TextIO | None = None,
) -> Iterator[Prediction]:
    """Ask a model that ships, as its drop or run says that it is asked.

    Args:
        model: a drop (its folder or its .zip), a run or its directory, or a .tflite. A file in a
            drop or a run directory is asked as these say.
        inputs: files; folders, of which files of the task's kind are taken, hidden ones left out;
            patterns such as ``photos/**/*.jpg``; ``-`` for ``stream``.
        texts: texts themselves, of a model that takes texts.
        top: how many answers are told of each input, the best first.
        task, labels, fit: for a .tflite by itself: its task, its labels in the order of its scores
            (or a file with one a line), how an image becomes square; None: what its TFLite metadata
            say, and images are cropped.
        draw: a folder, made where it is missing: of a detector each image is written into it as a
            PNG, upright and in its full size, with the boxes at or above the thresholds of their
            classes; ``drawn`` of the answer names the file. A taken name gets a number.
        stream: bytes; each line is a text in UTF-8, or all of it is one image.
        cache: see :func:`run`.
        progress: hears which files of a folder are left out.

    Returns:
        The answers, in the order of the inputs, computed as they are asked for. Of one that can't
        be read ``error`` says why, and the others are answered.

    Raises:
        ConfigError: an argument makes no sense, or what a .tflite does not say was not said, or
            there is nothing to draw of its answers.
        DataError: an input that leads to nothing: no such file, an empty folder.
        ArtifactError, DropError, UnsupportedModel: the model is not what it must be.
    """
    from tfedge.core.progress import shown_on
    from tfedge.drops.asked import named, predictions
    from tfedge.drops.served import served
    from tfedge.files.cache import cache_folder
    from tfedge.tasks.drop import Told

    if top < 1:
        raise ConfigError([f"top must be 1 or more, got {top}"])
    place = model.directory if isinstance(model, Run) else Path(model)
    told = Told(None if labels is None else _lines(labels), fit)
    asked = served(place, cache_folder(_path(cache)), task, told)
    files = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    names = [os.fspath(one) for one in files]
    found = named(names, _several(texts), asked.reader, stream, shown_on(progress))
    return predictions(asked, found, top, _path(draw))


def bench(
    models: AnyPath | Run | Sequence[AnyPath],
    *,
    devices: str | Sequence[str] = "local",
    threads: int | Sequence[int] = 1,
    runs: int = 50,
    warmup: int = 10,
    processes: int = 3,
    seconds: float | None = None,
    runtimes: str | Sequence[str] = (),
    delegates: str | Sequence[str] = (),
    golden: AnyPath | None = None,
    profile: bool = False,
    images: AnyPath | None = None,
    accuracy: AnyPath | None = None,
    labels: AnyPath | None = None,
    fit: str | None = None,
    shape: str | Sequence[str] = (),
    compare: bool = False,
    timeout: float | None = None,
    devices_file: AnyPath | None = None,
    cache: AnyPath | None = None,
    progress: RunProgress | TextIO | None = None,
) -> Benchmark:
    """Measure .tflite models on devices: latency, memory, and what they need to be trusted.

    They take turns, one fresh process at a time, on this machine too; docs/bench.md explains the
    figures.

    Args:
        models: one file or several; a run stands for its shipped file.
        devices: ``local``, ``local:PYTHON``, ``ssh://user@host[:port]``, ``adb[:SERIAL]``, or names
            in ``devices_file``.
        threads: numbers of threads.
        runs, warmup: timed and untimed inferences a process.
        processes: fresh ones for each combination.
        seconds: how long each process runs, instead of ``runs``.
        runtimes: ``litert``, ``tflite-runtime``, ``pycoral``, ``tensorflow``; none: each device's.
        delegates: ``xnnpack``, ``none``, ``edgetpu`` or a library there; none: each device's.
        golden: a drop, or its golden folder: its pairs are replayed. A result whose
            ``golden["failed"]`` is not 0 gives other answers.
        profile: time each op as well.
        images: a folder of images to infer instead of noise.
        accuracy: a folder with a folder for each class: top-1 on it, on the device; of detectors
            in a drop or a run images with boxes in Pascal VOC, COCO, YOLO or CSV, or a run: mean
            average precision.
        labels: a file with the classes of ``accuracy``, one a line, in the model's order.
        fit: how images become square; see :func:`evaluate`.
        shape: of inputs that models leave open: ``1x224x224x3``, or ``NAME=1x224x224x3``.
        compare: set everything beside the first.
        timeout: seconds for one process on a device.
        devices_file, cache, progress: as for :func:`run`.

    Returns:
        A :class:`tfedge.benchmark.result.Result` for each combination, times in nanoseconds.

    Raises:
        ConfigError: arguments make no sense, or the devices file is wrong.
        DeviceError: a device can't be had or was lost, or the script failed there.
        ArtifactError: a file is no sound model.
    """
    from tfedge.core.progress import shown_on
    from tfedge.devices.inventory import finder, machine_of
    from tfedge.devices.matrix import Matrix, golden_folder
    from tfedge.devices.schema import BenchDevice
    from tfedge.devices.session import Plan
    from tfedge.files.cache import cache_folder
    from tfedge.report.versus import side_by_side

    find = finder(_path(devices_file))
    changed = {} if timeout is None else {"timeout": timeout}
    given = [models] if isinstance(models, (str, os.PathLike, Run)) else models
    files = tuple(_model_of(model) for model in given)
    shown, where = shown_on(progress), cache_folder(_path(cache))
    matrix = Matrix(
        models=files,
        devices=tuple(
            find(BenchDevice(name=name), Path()).model_copy(update=changed)
            for name in _several(devices)
        ),
        runtimes=_several(runtimes),
        delegates=_several(delegates),
        plan=Plan(
            threads=(threads,) if isinstance(threads, int) else tuple(threads),
            runs=runs,
            warmup=warmup,
            processes=processes,
            seconds=seconds,
            images=_path(images),
            golden=None if golden is None else golden_folder(Path(golden)),
            accuracy=_path(accuracy),
            labels=_path(labels),
            profile=profile,
        ),
        fit=fit,
        shape=",".join(_several(shape)),
    )
    with ExitStack() as stack:
        if accuracy is not None:
            from tfedge.drops.judged import laid_out

            laid = stack.enter_context(laid_out(files, Path(accuracy), where, shown))
            matrix = replace(matrix, plan=replace(matrix.plan, accuracy=laid))
        measured = _measured(matrix, find.notes, timeout, where, shown, compare=compare)
    places = {device.name: machine_of(device) for device in matrix.devices}
    comparisons = tuple(side_by_side(measured, places)) if compare else ()
    return Benchmark(tuple(measured.values()), comparisons)


def _measured(
    matrix: Matrix,
    notes: Iterable[str],
    timeout: float | None,
    cache: Path,
    shown: RunProgress,
    *,
    compare: bool,
) -> dict[Combination, Result]:
    """The matrix, if it makes sense. ConfigError."""
    from tfedge.core.process import stoppable
    from tfedge.devices.matrix import measure_all

    problems = list(matrix.problems())
    if timeout is not None and timeout <= 0:
        problems.append(f"--timeout must be above 0, got {timeout:g}")
    if compare and not problems and (why := matrix.incomparable()):
        problems.append(why)
    if problems:
        raise ConfigError(problems)
    for note in notes:
        shown.note(f"note: {note}")
    try:
        with stoppable():
            return measure_all(matrix, cache, shown)
    finally:
        shown.clear()


def inspect(model: AnyPath | Run) -> Inspection:
    """What is in a .tflite: ops, tensors, zeros, cost, and how an Edge TPU would map it.

    Nothing is run. The mapping is predicted; of a compiled model it is read. ArtifactError when the
    file can't be read or is not sound.
    """
    from tfedge.edgetpu.inspect import inspect

    return inspect(_model_of(model))


def verify(
    drop: AnyPath,
    *,
    devices: str | Sequence[str] = (),
    devices_file: AnyPath | None = None,
) -> list[Check]:
    """Hold a drop against what it says of itself: files, contract, labels, golden pairs.

    Args:
        drop: its folder or its .zip.
        devices: where the golden pairs are replayed, too; names as for :func:`bench`. They are
            asked only when all that can be checked here holds.
        devices_file: see :func:`load`.

    Returns:
        Every check, in order. One with ``problems`` does not hold.

    Raises:
        DropError: there is no drop to check.
        DeviceError: a device is not known or can't be had.
    """
    from tfedge.drops.verify import verify

    names = _several(devices)
    if not names:
        return verify(Path(drop))
    from tfedge.drops.replay import on_device

    return verify(Path(drop), [on_device(name, _path(devices_file)) for name in names])


def doctor(*, cache: AnyPath | None = None, network: bool = False) -> list[Finding]:
    """What this machine has for tfedge and what it lacks: libraries, processor, GPU, runtimes,
    space, pretrained weights, programs.

    Nothing is imported that may be broken or slow, and nothing is installed. Of what is missing
    each finding says what it would enable and what brings it; ``needed``: no run without it.

    Args:
        cache: the folder whose space and weights are looked at; see :func:`run`.
        network: ask the package index and Keras' server whether weights that are not cached can be
            had there. Without it nothing leaves this machine.
    """
    from tfedge.core.doctor import examine
    from tfedge.files.cache import cache_folder

    return examine(cache_folder(_path(cache)), network=network)


def init(
    folder: AnyPath,
    *,
    target: str | None = None,
    budget: str = BUDGET,
    overrides: Overrides = (),
    out: AnyPath | None = None,
) -> str:
    """A first pipeline file for a folder of labelled examples, with the reason for each choice.

    It is looked at for about a second, whatever its size; the text says what was sampled and what
    was assumed, and :func:`check` has nothing against it.

    Args:
        folder: images or .txt in a folder for each class, perhaps below train, val and test; images
            with boxes as Pascal VOC, COCO, YOLO or CSV; a folder with a CSV of paths and labels, or
            with a table of texts, or such a table itself.
        target: ``android``, ``coral`` or ``pi``; None: Linux.
        budget: what a run may take on this machine, such as ``5m``.
        overrides: keys that are decided already, as for :func:`load`; they answer what an error
            asks for.
        out: the file to write; None: none, and paths are relative to the working directory.

    Returns:
        The text of the file.

    Raises:
        DataError: the folder holds nothing to learn from, is wrong, or leaves open what it means.
        ConfigError: an argument makes no sense, or ``out`` is there already.
    """
    from tfedge.drafts.make import made
    from tfedge.files.artifact import disk_errors, write_text
    from tfedge.pipeline.load import load_text

    file = Path(f"{Path(folder).resolve().stem}.yaml" if out is None else out)
    if out is not None and file.exists():
        raise ConfigError([f"{file}: is there already"], "give another name, or take it away")
    text = made(
        Path(folder),
        target,
        budget,
        _assignments(overrides),
        file.parent,
        _editor_line(),
        str(file),
    )
    load_text(text, file, _assignments(overrides))
    if out is not None:
        with disk_errors(file):
            write_text(file, text)
    return text


def templates() -> dict[str, str]:
    """The pipeline files that come with tfedge: by name the first sentence of what they say."""
    found = {}
    for file in sorted(_TEMPLATES.glob("*.yaml")):
        text = file.read_text(encoding="utf-8").removeprefix(_EDITOR.format(_SCHEMA))
        first, _, _ = text.partition("\n#\n")
        said = " ".join(line.lstrip("# ") for line in first.splitlines())
        found[file.stem] = f"{said.partition('. ')[0].rstrip('.')}."
    return found


def template(name: str) -> str:
    """The text of one of :func:`templates`, for a file anywhere on this machine: its first line
    tells editors where this installation's JSON Schema lies. ConfigError when there is none of that
    name."""
    from tfedge.config.spelling import did_you_mean

    known = templates()
    if name not in known:
        raise ConfigError([f"no template {name!r}{did_you_mean(name, known)}"])
    text = (_TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")
    return _editor_line() + text.removeprefix(_EDITOR.format(_SCHEMA))


def _editor_line() -> str:
    """As an address, since a path may hold blanks."""
    return _EDITOR.format((_TEMPLATES / _SCHEMA).absolute().as_uri())


def _selected(
    pipeline: Loaded | AnyPath,
    overrides: Overrides,
    devices_file: AnyPath | None,
    from_stage: str | None,
    to_stage: str | None,
    *,
    force: bool,
) -> tuple[Loaded, Selection]:
    from tfedge.core.plan import select

    if isinstance(pipeline, (str, os.PathLike)):
        loaded = load(pipeline, overrides, devices_file=devices_file)
    elif overrides or devices_file is not None:
        what = "overrides and devices_file are for a file; this pipeline is loaded already"
        raise ConfigError([what], "give them to load")
    else:
        loaded = pipeline
    return loaded, select(loaded.pipeline, from_stage, to_stage, force)


def _assignments(overrides: Overrides) -> Sequence[str]:
    """``key=value`` with the value in JSON, which is YAML too."""
    if isinstance(overrides, str):
        return (overrides,)
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value, default=os.fspath)}" for key, value in overrides.items()]
    return overrides


def _model_of(model: AnyPath | Run) -> Path:
    if not isinstance(model, Run):
        return Path(model)
    if model.model is None:
        raise ConfigError([f"{model.directory}: this run has no model: it is {model.status}"])
    return model.model


def _one_of(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ConfigError([f"{name} must be {', '.join(allowed)}, got {value!r}"])


def _lines(labels: AnyPath | Sequence[str]) -> Sequence[str]:
    if not isinstance(labels, (str, os.PathLike)):
        return labels
    from tfedge.files.files import in_short

    try:
        text = Path(labels).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = f"labels {labels}: can't be read as UTF-8 text: {in_short(error)}"
        raise ConfigError([what], "a label a line, in the order of the scores") from None
    return text.strip().splitlines()


def _several(values: str | Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)
