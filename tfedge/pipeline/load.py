"""A pipeline file and ``--set`` overrides to a checked ``Pipeline``: all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from tfedge.config import nodes
from tfedge.config.nodes import KeyPath, Spot, Tree
from tfedge.config.removed import drop
from tfedge.config.renamed import current, rename, spread
from tfedge.config.validate import checked, parts, related, spot
from tfedge.config.words import dotted
from tfedge.devices.schema import BenchDevice, FindDevice
from tfedge.errors import ArtifactError, ConfigError, DeviceError
from tfedge.files.files import path_problem
from tfedge.pipeline import earlier, nets, rules
from tfedge.pipeline.recipes import implied
from tfedge.pipeline.schema import (
    HELD_OUT,
    REMOVED,
    RENAMED,
    SPREAD,
    SYNTHETIC,
    Net,
    Pipeline,
    known_task,
    schema_of,
)
from tfedge.redact import without_secrets

Resolved = dict[str, Any]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """A checked pipeline, and what it was read from."""

    pipeline: Pipeline
    path: Path
    text: str  # the file as it was given
    overrides: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def resolved(self) -> Resolved:
        """Every key with its value, absolute paths: a pipeline file that gives the same again, but
        for passwords and tokens in addresses, which are not in it."""
        return resolve(self.pipeline)

    def kept_text(self) -> str:
        """The file as it was given, but for passwords and tokens in its addresses."""
        text = without_secrets(self.text)
        if text == self.text:
            return text
        data = _shown(yaml.safe_load(self.text))
        # Where an address is written in another way, on two lines or with escapes.
        return text if yaml.safe_load(text) == data else yaml.safe_dump(data, sort_keys=False)


def resolve(pipeline: Pipeline) -> Resolved:
    """The pipeline as plain data, without passwords and tokens in addresses; None is left out,
    since a key with nothing behind it is a section switched on."""
    found: Resolved = _shown(pipeline.model_dump(mode="json", exclude_none=True))
    return found


def _shown(data: Any) -> Any:
    """Plain data with every text as it may be shown."""
    if isinstance(data, dict):
        return {key: _shown(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_shown(value) for value in data]
    return without_secrets(data) if isinstance(data, str) else data


def load_pipeline(path: Path | str, overrides: Sequence[str] = ()) -> Pipeline:
    """The checked pipeline alone; see ``load``."""
    return load(path, overrides).pipeline


def load(
    path: Path | str, overrides: Sequence[str] = (), find_device: FindDevice | None = None
) -> Loaded:
    """Read, override, check.

    ``overrides`` are ``"a.b=value"`` with the value in YAML; later ones win. Paths in the file are
    relative to its folder, those in an override to the working directory. Raises ConfigError with
    every problem, in the order in which they stand in the file, overrides last.

    With ``find_device`` each of ``benchmark.devices`` is replaced by what it means, so that the
    resolved pipeline needs no devices.yaml; without it they are left as written.
    """
    path = Path(path)
    return _loaded(nodes.read(path), path, overrides, find_device)


def load_text(text: str, path: Path, overrides: Sequence[str] = ()) -> Loaded:
    """The same of a file that is not written yet: its text, and where it will lie."""
    return _loaded(nodes.parse(text, str(path)), path, overrides)


def _loaded(
    tree: Tree, path: Path, overrides: Sequence[str] = (), find_device: FindDevice | None = None
) -> Loaded:
    notes = rename(tree, RENAMED)
    for number, override in enumerate(overrides, start=1):
        override_key(tree, override, number, notes)
    notes += drop(tree, REMOVED)
    _complete(tree)
    notes += spread(tree, SPREAD)
    schema = schema_of(known_task(tree.data.get("task") if isinstance(tree.data, dict) else None))
    pipeline, found, bad = checked(tree, schema, {"name": "unnamed", "data": {}})
    elsewhere: list[str] = []
    if pipeline is not None:
        pipeline = _absolute(pipeline, tree, path.parent)
        for at, text in _impossible(pipeline):
            found.append((spot(tree, at), f"{dotted(at)}: {text}"))
            bad.add(at)
            pipeline = _with(pipeline, at, "")  # for the rules, which look for it
        for problem in rules.check(pipeline):
            read = [parts(key) for key in problem.reads]
            if not any(related(wrong, at) for wrong in bad for at in read):
                found.append((spot(tree, read[0]), problem.text))
        if find_device is not None:
            pipeline, unknown, elsewhere = _with_devices(pipeline, tree, path.parent, find_device)
            found += unknown
        if ("backbone", "weights") not in bad and not found:
            pipeline, damaged = _going_on(pipeline)
            found += [(spot(tree, ("backbone", "weights")), text) for text in damaged]
    if found or elsewhere or pipeline is None:
        found.sort(key=lambda item: item[0])
        error = ConfigError([*(f"{spot.text}: {text}" for spot, text in found), *elsewhere])
        data = None if pipeline is None else pipeline.data
        wrong = any(at[:1] == ("data",) for at in bad)
        if data is not None and not wrong and (data.path or data.download):
            error.data = data
        raise error
    notes += rules.notes(pipeline)
    return Loaded(pipeline, path, tree.text, tuple(overrides), tuple(notes))


def override_key(tree: Tree, override: str, number: int, notes: list[str]) -> None:
    """Put ``a.b=value`` into the tree, as if the file had said so. ``notes`` hear of old names."""
    shown = without_secrets(override)
    where = f"--set {shown if len(shown) <= 60 else shown[:57] + '…'}"
    key, equals, text = override.partition("=")
    place = Spot(number, 0, 0, where)
    at: KeyPath = tuple(key.strip().split("."))
    if not equals or not all(at):
        tree.problems.append((place, "must be key=value, such as data.image_size=97"))
        return
    try:
        given = nodes.parse(text, where, number)
    except ConfigError as error:
        tree.problems.append((place, error.message.removeprefix(f"{where}: ")))
        return
    if (new := current(at, RENAMED)) != at:
        notes.append(f"{where}: is called {dotted(new)} today; the old name still works")
        at = new
    if given.problems:
        tree.problems += given.problems
        tree.bad.add(at)
        return
    assert isinstance(tree.data, dict)  # nodes.read saw to it
    section: dict[str, Any] = tree.data
    for depth, part in enumerate(at[:-1], start=1):
        if not isinstance(section.get(str(part)), dict):
            _forget(tree, at[:depth])
            section[str(part)] = {}
            tree.keys[at[:depth]] = tree.values[at[:depth]] = place
        section = section[str(part)]
    _forget(tree, at)
    section[str(at[-1])] = given.data
    tree.keys[at] = tree.values[at] = place
    for path in (*given.keys, *given.values):
        inner = at + path
        tree.keys[inner] = tree.values[inner] = place
    notes += rename(tree, RENAMED)  # in a section that was given as a whole


def _complete(tree: Tree) -> None:
    """Write out the section that ``quantize.prefer: size`` stands for."""
    assert isinstance(tree.data, dict)  # nodes.read saw to it
    for section, key in implied(tree.data).items():
        tree.data[section] = {}
        for places in (tree.keys, tree.values):
            places[section,] = places[parts(key)]


def _forget(tree: Tree, path: KeyPath) -> None:
    """Drop what the file said at and below a path that an override replaces."""
    for spots in (tree.keys, tree.values):
        for old in [p for p in spots if p[: len(path)] == path]:
            del spots[old]


def _absolute(pipeline: Pipeline, tree: Tree, folder: Path) -> Pipeline:
    """The pipeline with absolute paths."""

    def path(text: str, at: KeyPath) -> str:
        base = Path() if spot(tree, at).source else folder
        return os.path.abspath(base / os.path.expanduser(text))  # noqa: PTH100, PTH111 (no raising)

    for at, text in _paths(pipeline).items():
        found = tuple(path(t, at) for t in text) if isinstance(text, tuple) else path(text, at)
        pipeline = _with(pipeline, at, found)
    return pipeline


def _impossible(pipeline: Pipeline) -> Iterator[tuple[KeyPath, str]]:
    """Paths that the system can't even look for."""
    for at, given in _paths(pipeline).items():
        problems = map(path_problem, given if isinstance(given, tuple) else (given,))
        if problem := next(filter(None, problems), None):
            yield at, problem


def _paths(pipeline: Pipeline) -> dict[KeyPath, str | tuple[str, ...]]:
    """The keys that name files and folders here, with what they say."""
    data, distill, package = pipeline.data, pipeline.distill, pipeline.package
    weights: dict[KeyPath, str] = {("backbone", "weights"): pipeline.backbone.weights}
    if distill is not None and isinstance(distill.teacher, Net):
        weights["distill", "teacher", "weights"] = distill.teacher.weights
    given: dict[KeyPath, str | tuple[str, ...]] = {}
    if data.path is not None and "://" not in data.path and not data.path.startswith(rules.SAMPLE):
        given["data", "path"] = data.path
    given |= {at: text for at, text in weights.items() if text not in nets.WEIGHT_NAMES}
    if package is not None and package.golden not in (SYNTHETIC, HELD_OUT):
        given["package", "golden"] = package.golden
    if pipeline.track is not None and "://" not in pipeline.track.mlflow:
        given["track", "mlflow"] = pipeline.track.mlflow
    if package is not None and package.coral.together:
        given["package", "coral", "together"] = package.coral.together
    return given


def _going_on(pipeline: Pipeline) -> tuple[Pipeline, list[str]]:
    """The pipeline, which knows the classes of the run that it goes on from unless it says its own;
    and why they can't be known."""
    run = pipeline.backbone.run
    if run is None or pipeline.data.classes is not None:
        return pipeline, []
    try:
        data = pipeline.data.going_on(earlier.classes(run))
    except ArtifactError as error:
        return pipeline, [f"backbone.weights: {error.message}"]
    return pipeline.model_copy(update={"data": data}), []


def _with(section: M, at: KeyPath, value: object) -> M:
    """A section with another value at a path of keys."""
    name, rest = str(at[0]), at[1:]
    inner = _with(getattr(section, name), rest, value) if rest else value
    return section.model_copy(update={name: inner})


def _with_devices(
    pipeline: Pipeline, tree: Tree, folder: Path, find: FindDevice
) -> tuple[Pipeline, list[tuple[Spot, str]], list[str]]:
    """The pipeline with its devices found; the problems of its own text, and of other files."""
    benchmark = pipeline.benchmark
    if benchmark is None:
        return pipeline, [], []
    devices: list[str | BenchDevice] = []
    unknown: list[tuple[Spot, str]] = []
    elsewhere: list[str] = []
    for index, device in enumerate(benchmark.measured_on):
        at: KeyPath = ("benchmark", "devices", index)
        base = Path() if spot(tree, at).source else folder
        try:
            devices.append(find(device, base).short())
        except DeviceError as error:
            text = f"benchmark.devices[{index}]: {error.message}"
            text += f" ({error.hint})" if error.hint else ""
            unknown.append((spot(tree, at), text))
        except ConfigError as error:
            elsewhere += [problem for problem in error.problems if problem not in elsewhere]
    benchmark = benchmark.model_copy(update={"devices": tuple(devices)})
    return pipeline.model_copy(update={"benchmark": benchmark}), unknown, elsewhere
