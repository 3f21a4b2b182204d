"""Measure models on devices: opened together, taking turns, all of it by the one device script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tfedge.benchmark import call
from tfedge.benchmark.result import Result, merge
from tfedge.devices import android
from tfedge.devices.adb import AdbDevice
from tfedge.devices.address import open_device
from tfedge.devices.benchmark_model import Work
from tfedge.devices.device import Busy, Device, Done, patiently
from tfedge.devices.schema import BenchDevice
from tfedge.devices.shapes import timed_inputs
from tfedge.devices.shell import tail
from tfedge.errors import ArtifactError, DeviceError, MissingDependency
from tfedge.files.artifact import sha256_file

GOLDEN_DIFFERS = 5  # the script's exit code; what was measured is printed all the same
_START = 60.0  # seconds for an interpreter to start
_GRACE = 30.0  # seconds beyond the script's own time-out until the device ends it

Connect = Callable[[BenchDevice], Device]
Gaps = dict[str, str]  # a device that was away, by its name, and why


@dataclass(frozen=True)
class Subject:
    """What is measured: a model on a device, which is open, through a runtime and a delegate."""

    model: str  # its name in results
    path: Path
    device: Device
    runtime: str = "auto"
    delegate: str = "xnnpack"
    timeout: float = 1800.0  # seconds for one process
    optional: bool = False  # when its device is lost, the others go on
    fit: str | None = None  # how its images become square; None: as the script says
    levels: tuple[int, int] | None = None  # of its images of 16 bits; None: as the script says
    shape: str = ""  # of inputs that the model leaves open; see the script's --shape
    tool: Path | None = None  # benchmark_model, for an Android device without Python


@dataclass(frozen=True)
class Plan:
    """How every subject is measured. Folders and files are here, and are brought to the devices."""

    threads: tuple[int, ...] = (1,)
    runs: int = 50  # timed inferences a process
    warmup: int = 10  # untimed ones before them
    processes: int = 3  # fresh ones for each subject and number of threads
    seconds: float | None = None  # each process runs so long instead of `runs` times
    images: Path | None = None  # a folder of images: what is inferred, instead of noise
    # Done once for each subject and number of threads, in its first process:
    golden: Path | None = None  # a folder of NNN.input.bin and NNN.output.bin
    accuracy: Path | None = None  # a folder with a folder of images for each class
    labels: Path | None = None
    profile: bool = False


def connect(device: BenchDevice) -> Device:
    """The device, not entered yet."""
    python = (device.python,) if device.python else None
    return open_device(device.address or device.name, name=device.name, python=python)


@contextmanager
def opened(
    devices: Sequence[BenchDevice],
    gaps: Gaps | None = None,
    connect: Connect = connect,
    *,
    wait: float = 0.0,
    note: Callable[[str], None] | None = None,
) -> Iterator[dict[str, Device]]:
    """All devices, connected and held, by their names.

    One that another process measures on is waited for, up to ``wait`` seconds, which is told to
    ``note``. DeviceError for the first that can't be had, MissingDependency for a client program
    that this machine lacks; an optional one is put into ``gaps`` instead, if given, and left out.
    """
    with ExitStack() as stack:
        found = {}
        for device in devices:
            enter = partial(_connected, stack, connect, device)
            try:
                try:
                    found[device.name] = enter()
                except Busy as error:
                    if not wait:
                        raise
                    if note:
                        note(f"{error.message}: waiting for it, up to {wait:.0f} s")
                    found[device.name] = patiently(enter, wait)
            except (DeviceError, MissingDependency) as error:
                if gaps is None or not device.optional:
                    raise
                gaps[device.name] = error.message.removeprefix(f"{device.name}: ")
        yield found


def _connected(stack: ExitStack, connect: Connect, device: BenchDevice) -> Device:
    return stack.enter_context(connect(device))


def subjects(
    models: Mapping[str, Path],
    devices: Sequence[BenchDevice],
    found: Mapping[str, Device],
    tools: Mapping[str, Path] | None = None,
) -> list[Subject]:
    """Every model on every device that was opened, as the device says. ``tools``: the file of
    benchmark_model, by the names of devices that have one."""
    return [
        Subject(
            model,
            path,
            found[device.name],
            runtime=device.runtime,
            delegate=device.delegate,
            timeout=device.timeout,
            optional=device.optional,
            tool=(tools or {}).get(device.name),
        )
        for device in devices
        if device.name in found
        for model, path in models.items()
    ]


def measure(
    subjects: Sequence[Subject],
    plan: Plan,
    *,
    gaps: Gaps | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """A result for each number of threads and subject, in this order.

    They take turns, one fresh process at a time, so that a device that slows down or is busy for a
    while does so to all of them alike.

    Raises:
        DeviceError: a device was lost, or the script failed there: what is missing, which op its
            runtime does not know, a time-out. A lost one that is optional goes into ``gaps``
            instead, if given, and nothing of it into the results.
    """
    bench = _Bench(plan)
    lost: Gaps = {} if gaps is None else gaps
    turns = [(subject, count) for count in dict.fromkeys(plan.threads) for subject in subjects]
    found: list[list[Result]] = [[] for _ in turns]
    total = plan.processes * len(turns)
    for number in range(total):
        turn, index = divmod(number, len(turns))
        if turn % 2:  # there and back: what drifts does so for all of them alike
            index = len(turns) - 1 - index
        subject, count = turns[index]
        if progress:
            progress(number, total)
        if subject.device.name in lost:
            continue
        try:
            answer = bench.turn(subject, count, first=number < len(turns))
        except DeviceError as error:
            if gaps is None or not subject.optional:
                raise
            lost[subject.device.name] = error.message
            continue
        found[index].append(bench.result(subject, answer))
    if progress:
        progress(total, total)
    whole = zip(turns, found, strict=True)
    return [merge(results) for (subject, _), results in whole if subject.device.name not in lost]


@dataclass
class _Bench:
    """The turns of one bench, and what was brought to the devices for them."""

    plan: Plan
    there: dict[tuple[str, Path], str] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)
    by_python: dict[str, bool] = field(default_factory=dict)

    def turn(self, subject: Subject, threads: int, first: bool) -> Done | Result:
        """One fresh process. DeviceError: the device is lost, or can't be measured on at all."""
        name = subject.device.name
        if name not in self.by_python:
            self.by_python[name] = _by_python(subject)
        if self.by_python[name]:
            return self.script(subject, threads, first)
        assert subject.tool is not None
        return self.native(subject, subject.tool, threads, first)

    def script(self, subject: Subject, threads: int, first: bool) -> Done:
        plan, limit = self.plan, subject.timeout + (self.plan.seconds or 0.0)
        images = bool(plan.images or (plan.accuracy and first))
        levels = subject.levels and "{},{}".format(*subject.levels)
        words = call.command(
            subject.device.python,
            self.push(subject, call.script_file()),
            self.push(subject, subject.path),
            threads=threads,
            runs=plan.runs,
            warmup=plan.warmup,
            seconds=plan.seconds,
            runtime=subject.runtime,
            delegate=subject.delegate,
            pictures=plan.images and self.push(subject, plan.images),
            golden=plan.golden and first and self.push(subject, plan.golden),
            accuracy=plan.accuracy and first and self.push(subject, plan.accuracy),
            labels=plan.labels and first and self.push(subject, plan.labels),
            shape=subject.shape or None,
            fit=subject.fit if images else None,
            levels=levels if images else None,
            profile=plan.profile and first,
            timeout=limit,
        )
        return subject.device.run(words, timeout=limit + _GRACE)

    def native(self, subject: Subject, tool: Path, threads: int, first: bool) -> Result:
        plan = self.plan
        asked = {"golden": plan.golden, "accuracy": plan.accuracy, "pictures": plan.images}
        for what, folder in asked.items():
            if folder is not None:
                raise DeviceError(
                    f"{subject.device.name}: benchmark_model only times: it can't take --{what}",
                    "leave it out, or measure with Python there: tfedge devices says how",
                )
        work = Work(
            subject.model,
            subject.path,
            threads=threads,
            runs=plan.runs,
            warmup=plan.warmup,
            seconds=plan.seconds,
            delegate=subject.delegate,
            profile=plan.profile and first,
            timeout=subject.timeout + (plan.seconds or 0.0),
            inputs=timed_inputs(subject.path, subject.shape),
        )
        return android.measure(subject.device, tool, work)

    def push(self, subject: Subject, path: Path) -> str:
        """Where a file or folder lies on the subject's device, brought there once."""
        key = subject.device.name, path
        if key not in self.there:
            self.there[key] = subject.device.push(path)
        return self.there[key]

    def result(self, subject: Subject, done: Done | Result) -> Result:
        """What was measured. DeviceError: the script failed, or measured something else."""
        name, file = subject.device.name, subject.path
        if isinstance(done, Result):
            return done
        if done.returncode not in (0, GOLDEN_DIFFERS):
            message, hint = call.failure(done.returncode, done.stderr)
            raise DeviceError(f"{name}: {file.name}: {message}", hint)
        try:
            (result,) = call.parse(done.stdout, name)
        except (ArtifactError, ValueError) as error:
            raise DeviceError(f"{name}: {file.name}: no measurement came back: {error}") from error
        if file not in self.digests:
            self.digests[file] = sha256_file(file)
        if result.sha256 != self.digests[file]:
            what = f"{file.name}: measured a file of SHA-256 {result.sha256}"
            raise DeviceError(
                f"{name}: {what}, not {self.digests[file]}", "the file was changed meanwhile"
            )
        return replace(result, model=subject.model)


def _by_python(subject: Subject) -> bool:
    """Whether the script measures there, or benchmark_model. DeviceError: neither can."""
    device = subject.device
    if subject.tool is not None or isinstance(device, AdbDevice):
        return android.measures_by_python(device, subject.tool)
    done = device.run([*device.python, "-c", "pass"], timeout=_START)
    if done.returncode == 0:
        return True
    python = " ".join(device.python)
    raise DeviceError(
        f"{device.name}: {python} does not run there: {tail(done.stderr)}",
        "install it there, or name another: python: in devices.yaml, or local:PYTHON",
    )
