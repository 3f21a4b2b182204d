"""One bench: models × devices × runtimes × delegates × numbers of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tfedge.benchmark.fit import classes_of, fit_of, levels_of
from tfedge.benchmark.result import Result
from tfedge.benchmark.script.answers import TRUTH
from tfedge.benchmark.script.image_inputs import FITS
from tfedge.benchmark.script.runtime import RUNTIMES
from tfedge.devices.inventory import machine_of
from tfedge.devices.schema import BenchDevice
from tfedge.devices.session import Plan, Subject, measure, opened
from tfedge.devices.shapes import timed_inputs
from tfedge.devices.tools import tools
from tfedge.errors import ArtifactError
from tfedge.files.progress import Progress


class Combination(NamedTuple):
    """What a measurement was asked to be: the runtime may be ``auto``, the device a name. An empty
    runtime or delegate is the device's own."""

    model: str
    device: str
    runtime: str
    delegate: str
    threads: int


@dataclass(frozen=True)
class Matrix:
    """What is put side by side. Each model is measured with each of the others."""

    models: tuple[Path, ...]
    devices: tuple[BenchDevice, ...]
    runtimes: tuple[str, ...]  # empty: that of each device
    delegates: tuple[str, ...]  # empty: that of each device
    plan: Plan
    fit: str | None = None  # how images become square; None: as is known of each model
    shape: str = ""  # of inputs that models leave open

    def combinations(self) -> list[Combination]:
        """Every combination, in the order of measurement and of the table."""
        return [
            Combination(model, device.name, runtime, delegate, count)
            for count in self.plan.threads
            for device in self.devices
            for runtime in self.runtimes or ("",)
            for delegate in self.delegates or ("",)
            for model in titles(self.models)
        ]

    def problems(self) -> Iterator[str]:
        """What makes no sense of what was asked, a line each, by the names of the options."""
        names = tuple(device.name for device in self.devices)
        given = {"MODEL": self.models, "--device": names, "--threads": self.plan.threads}
        for option, values in given.items():
            if not values:
                yield f"{option}: none is given"
        several = given | {"--runtime": self.runtimes, "--delegate": self.delegates}
        for option, values in several.items():
            if (twice := _first_duplicate(values)) is not None:
                yield f"{option} {twice} is given twice"
        for runtime in self.runtimes:
            if runtime not in ("auto", *RUNTIMES):
                yield f"--runtime must be auto, {', '.join(RUNTIMES)}, got {runtime!r}"
        yield from _out_of_range(self.plan)
        if self.plan.labels is not None and self.plan.accuracy is None:
            yield "--labels is for --accuracy"
        if self.plan.accuracy is not None and (self.plan.accuracy / TRUTH).is_file():
            for option, said in (("--labels", self.plan.labels), ("--fit", self.fit)):
                if said is not None:
                    yield f"{option}: the drops or runs of the models say that themselves"
        elif self.plan.accuracy is not None and self.plan.labels is None:
            yield from (problem for model in self.models for problem in _unsorted(model))
        if self.fit is not None and self.fit not in FITS:
            yield f"--fit must be {', '.join(FITS)}, got {self.fit!r}"
        if self.fit is not None and not self.shows_images:
            yield "--fit is for --pictures and --accuracy"

    def incomparable(self) -> str | None:
        """Why comparing would end without a single ratio; None: it would not."""
        if self.plan.processes < 2:
            return "--compare needs --processes=2 or more: one may be lucky"
        several = axes(self.combinations())
        if not several:
            what = "two models, runtimes, delegates or numbers of threads"
            return f"--compare needs {what}, or two interpreters of one machine"
        places = {machine_of(device) for device in self.devices}
        if several == ["device"] and len(places) == len(self.devices):
            names = ", ".join(device.name for device in self.devices)
            return (
                f"--compare: {names} are different devices, which are no ratio; leave --compare "
                "out to see their figures one below the other"
            )
        return None

    @property
    def shows_images(self) -> bool:
        """Whether images are fed."""
        return self.plan.images is not None or self.plan.accuracy is not None


def _unsorted(model: Path) -> Iterator[str]:
    """The script takes classes in alphabetic order, unless it is given them."""
    try:
        classes = classes_of(model) or ()
    except ArtifactError:  # a manifest that tells none
        return
    if list(classes) != sorted(classes):
        what = f"the classes of {model} are not in alphabetic order"
        yield f"--accuracy: {what}: give --labels, such as the file of labels in its drop"


def axes(combinations: Sequence[Combination]) -> list[str]:
    """In what the subjects differ; threads only when it is the one thing, since a sweep over
    threads beside other things would multiply the lines."""
    several = [
        axis
        for axis in Combination._fields
        if len({getattr(one, axis) for one in combinations}) > 1
    ]
    return [axis for axis in several if axis != "threads"] or several


def titles(models: Sequence[Path]) -> dict[str, Path]:
    """The files by names for the results: their own, with as many folders as tell them apart."""
    absolute = [Path(os.path.abspath(model)) for model in models]  # noqa: PTH100 (links are names)
    for depth in range(1, max((len(path.parts) for path in absolute), default=0) + 1):
        names = [Path(*path.parts[-depth:]).with_suffix("").as_posix() for path in absolute]
        if len(set(names)) == len(names):
            return dict(zip(names, models, strict=True))
    return {path.as_posix(): model for path, model in zip(absolute, models, strict=True)}


def golden_folder(folder: Path) -> Path:
    """The folder with golden pairs: the one given, or that of the drop given."""
    for found in (folder / "golden", folder):
        if any(found.glob("*.input.bin")):
            return found
    hint = "give a drop, or a folder with 000.input.bin, 000.output.bin …"
    raise ArtifactError(folder, "no golden pairs in it", hint)


def measure_all(matrix: Matrix, cache: Path, progress: Progress) -> dict[Combination, Result]:
    """Measure everything, all devices held at once, in turns.

    Programs that devices need are fetched into ``cache``. ArtifactError for a file that is no
    model: a broken one crashes an interpreter. ConfigError for one with an open input and no size
    for it. DeviceError: see ``session.measure``.
    """
    models = titles(matrix.models)
    for path in matrix.models:
        timed_inputs(path, matrix.shape)
    fits = {
        title: (matrix.fit or fit_of(path)) if matrix.shows_images else None
        for title, path in models.items()
    }
    levels = {
        title: levels_of(path) if matrix.shows_images else None for title, path in models.items()
    }
    by_name = {device.name: device for device in matrix.devices}
    programs = tools(matrix.devices, cache, progress)
    combinations = matrix.combinations()
    with opened(matrix.devices) as devices:
        subjects = [
            Subject(
                one.model,
                models[one.model],
                devices[one.device],
                runtime=one.runtime or by_name[one.device].runtime,
                delegate=one.delegate or by_name[one.device].delegate,
                timeout=by_name[one.device].timeout,
                tool=programs.get(one.device),
                fit=fits[one.model],
                levels=levels[one.model],
                shape=matrix.shape,
            )
            for one in combinations
            if one.threads == matrix.plan.threads[0]
        ]
        update = partial(progress.update, "measuring", unit="processes")
        results = measure(subjects, matrix.plan, progress=update)
    return dict(zip(combinations, results, strict=True))


def _out_of_range(plan: Plan) -> Iterator[str]:
    if any(count < 1 for count in plan.threads):
        yield f"--threads must be numbers from 1 on, got {', '.join(map(str, plan.threads))}"
    for name, least in (("runs", 1), ("warmup", 0), ("processes", 1)):
        if getattr(plan, name) < least:
            yield f"--{name} must be {least} or more, got {getattr(plan, name)}"
    if plan.seconds is not None and plan.seconds <= 0:
        yield f"--seconds must be above 0, got {plan.seconds:g}"


def _first_duplicate(values: Sequence[object]) -> object | None:
    return next((value for i, value in enumerate(values) if value in values[:i]), None)
