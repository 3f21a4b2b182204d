"""A pipeline file and ``--set`` overrides to a checked ``Pipeline``: all problems at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from tfedge.config import nodes, rules, words
from tfedge.config.nodes import KeyPath, Spot, Tree
from tfedge.config.schema import Pipeline
from tfedge.config.spelling import did_you_mean
from tfedge.errors import ConfigError

Resolved = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """A checked pipeline, and what it was read from."""

    pipeline: Pipeline
    path: Path
    text: str  # the file as it was given
    overrides: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def resolved(self) -> Resolved:
        """Every key with its value, absolute paths: a pipeline file that gives the same again."""
        return resolve(self.pipeline)


def resolve(pipeline: Pipeline) -> Resolved:
    """The pipeline as plain data; None is left out, since a key with nothing behind it is a section
    switched on."""
    return pipeline.model_dump(mode="json", exclude_none=True)


def load_pipeline(path: Path | str, overrides: Sequence[str] = ()) -> Pipeline:
    """The checked pipeline alone; see ``load``."""
    return load(path, overrides).pipeline


def load(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """Read, override, check.

    ``overrides`` are ``"a.b=value"`` with the value in YAML; later ones win. Paths in the file are
    relative to its folder, those in an override to the working directory. Raises ConfigError with
    every problem, in the order in which they stand in the file, overrides last.
    """
    path = Path(path)
    tree = nodes.read(path)
    for number, override in enumerate(overrides, start=1):
        _override(tree, override, number)
    found, bad = list(tree.problems), set(tree.bad)
    data = _with_sections(tree.data, ())
    pipeline, errors = _validate(data)
    found += [(_spot(tree, e.path, e.on_key), e.text) for e in errors if e.path not in bad]
    if pipeline is None:  # look on without what is wrong: the rules may know of more
        bad |= {error.path for error in errors}
        for error in errors:
            _remove(data, error.path[:-1] if error.missing else error.path)
        pipeline, _ = _validate({"name": "unnamed", "data": {}, **data})
    if pipeline is not None:
        pipeline = _absolute(pipeline, tree, path.parent)
        for problem in rules.check(pipeline):
            read = [_parts(key) for key in problem.reads]
            if not any(_related(wrong, at) for wrong in bad for at in read):
                found.append((_spot(tree, read[0]), problem.text))
    if found or pipeline is None:
        found.sort(key=lambda item: item[0])
        raise ConfigError([f"{spot.text}: {text}" for spot, text in found])
    return Loaded(pipeline, path, tree.text, tuple(overrides), tuple(rules.notes(pipeline)))


def _override(tree: Tree, override: str, number: int) -> None:
    """Put ``a.b=value`` into the tree, as if the file had said so."""
    where = f"--set {override if len(override) <= 60 else override[:57] + '…'}"
    key, equals, text = override.partition("=")
    spot = Spot(number, 0, 0, where)
    parts: KeyPath = tuple(key.strip().split("."))
    if not equals or not all(parts):
        tree.problems.append((spot, "must be key=value, such as data.image_size=97"))
        return
    try:
        given = nodes.parse(text, where, number)
    except ConfigError as error:
        tree.problems.append((spot, error.message.removeprefix(f"{where}: ")))
        return
    if given.problems:
        tree.problems += given.problems
        tree.bad.add(parts)
        return
    assert isinstance(tree.data, dict)  # nodes.read saw to it
    section: dict[str, Any] = tree.data
    for depth, part in enumerate(parts[:-1], start=1):
        if not isinstance(section.get(str(part)), dict):
            _forget(tree, parts[:depth])
            section[str(part)] = {}
            tree.keys[parts[:depth]] = tree.values[parts[:depth]] = spot
        section = section[str(part)]
    _forget(tree, parts)
    section[str(parts[-1])] = given.data
    tree.keys[parts] = tree.values[parts] = spot
    for path in (*given.keys, *given.values):
        inner = parts + path
        tree.keys[inner] = tree.values[inner] = spot


def _forget(tree: Tree, path: KeyPath) -> None:
    """Drop what the file said at and below a path that an override replaces."""
    for spots in (tree.keys, tree.values):
        for old in [p for p in spots if p[: len(path)] == path]:
            del spots[old]


def _with_sections(data: Any, path: KeyPath) -> Any:
    """The data as the schema takes it: lists as tuples, and ``prune:`` with nothing behind it as
    the section with its defaults."""
    if data is None and words.section_at(path) is not None:
        return {}
    if isinstance(data, dict):
        return {key: _with_sections(value, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return tuple(_with_sections(value, (*path, i)) for i, value in enumerate(data))
    return data


class _Error(NamedTuple):
    path: KeyPath
    text: str
    on_key: bool = False  # the key is wrong, not its value
    missing: bool = False


def _validate(data: Any) -> tuple[Pipeline | None, list[_Error]]:
    """The pipeline, or what is wrong with it."""
    try:
        # strict: "0.5" is no number and true is not 1
        return Pipeline.model_validate(data, strict=True), []
    except ValidationError as error:
        problems: dict[KeyPath, _Error] = {}
        for item in error.errors(include_url=False, include_context=False):
            at, value = _locate(data, item["loc"], item["type"])
            if at not in problems:  # a union gives one error for each of its options
                problems[at] = _said(at, item["type"], value)
        return None, list(problems.values())


def _locate(data: Any, loc: KeyPath, kind: str) -> tuple[KeyPath, Any]:
    """The path in the data that an error is about: pydantic adds the options of a union to it."""
    at: KeyPath = ()
    for index, part in enumerate(loc):
        inside = part in data if isinstance(data, dict) else isinstance(data, tuple)
        if inside and isinstance(part, str) == isinstance(data, dict):
            data = data[part]
        elif not (kind == "missing" and index == len(loc) - 1):
            break
        at = (*at, part)
    return at, data


def _said(at: KeyPath, kind: str, value: Any) -> _Error:
    """One of pydantic's errors in plain words; the schema knows what is expected, not pydantic."""
    name = words.dotted(at)
    if kind == "extra_forbidden":
        section = words.section_at(at[:-1])
        allowed = list(section.model_fields) if section else []
        return _Error(at, f"{name}: unknown key{did_you_mean(str(at[-1]), allowed)}", on_key=True)
    expected = words.expected_at(at)
    if kind == "missing":
        return _Error(at, f"{name}: missing; must be {expected}", on_key=True, missing=True)
    quote = ""
    if expected == "text" and isinstance(value, (int, float)):
        quote = f" (for text, quote it: '{words.got(value)}')"
    return _Error(at, f"{name}: must be {expected}, got {words.got(value)}{quote}")


def _spot(tree: Tree, path: KeyPath, on_key: bool = False) -> Spot:
    """Where a path stands, or the nearest section around it that does."""
    first, second = (tree.keys, tree.values) if on_key else (tree.values, tree.keys)
    if path in first:
        return first[path]
    while path:
        if path in second:
            return second[path]
        path, first, second = path[:-1], tree.keys, tree.keys
    return tree.values[()]


def _related(one: KeyPath, other: KeyPath) -> bool:
    """Whether one path is the other, or lies around it."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _parts(key: str) -> KeyPath:
    """``benchmark.threads[1]`` as a path."""
    parts: list[str | int] = []
    for piece in key.split("."):
        name, _, index = piece.partition("[")
        parts += [name, *([int(index[:-1])] if index else [])]
    return tuple(parts)


def _remove(data: Any, path: KeyPath) -> None:
    """Take out a wrong value, so that its default stands in; a wrong item takes its list along."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    for part in path[:-1]:
        data = data.get(part) if isinstance(data, dict) else None
    if isinstance(data, dict) and path:
        data.pop(path[-1], None)


def _absolute(pipeline: Pipeline, tree: Tree, folder: Path) -> Pipeline:
    """The pipeline with absolute paths."""
    data, backbone = pipeline.data, pipeline.backbone

    def path(text: str, at: KeyPath) -> str:
        base = Path() if _spot(tree, at).source else folder
        return os.path.abspath(base / os.path.expanduser(text))  # noqa: PTH100, PTH111 (no raising)

    if data.path is not None and "://" not in data.path and not data.path.startswith(rules.SAMPLE):
        data = data.model_copy(update={"path": path(data.path, ("data", "path"))})
    if backbone.weights not in rules.WEIGHT_NAMES:
        at = ("backbone", "weights")
        backbone = backbone.model_copy(update={"weights": path(backbone.weights, at)})
    return pipeline.model_copy(update={"data": data, "backbone": backbone})
