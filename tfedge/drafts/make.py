"""A first pipeline file for what lies in a folder: which task it is of, and its keys as YAML."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from tfedge.config.commented import WIDTH, commented
from tfedge.config.nodes import parse
from tfedge.config.spelling import did_you_mean
from tfedge.data.layouts import OtherTask
from tfedge.data.rows import SUFFIXES
from tfedge.data.sources import missing
from tfedge.errors import ConfigError, DataError
from tfedge.files.files import path_problem
from tfedge.files.imports import imported
from tfedge.files.parallel import cores
from tfedge.inputs.images.annotations.images import walked
from tfedge.pipeline.schema import TASKS
from tfedge.tasks.draft import DROPS, SECTION, WAIT, Asked, Draft, Line, Place
from tfedge.tasks.table import task_of

_UNITS = {"s": 1, "m": 60, "h": 3600}
_TASK = "task"


def made(
    folder: Path,
    target: str | None,
    budget: str,
    overrides: Sequence[str],
    beside: Path,
    first: str,
    file: str,
) -> str:
    """The text of a pipeline file that lies in the folder ``beside``.

    ``first`` is its first line, ``file`` what it will be called. DataError where the folder says
    too little or is wrong, ConfigError for an argument that is.
    """
    if target not in DROPS:
        near = did_you_mean(str(target), list(filter(None, DROPS)))
        raise ConfigError([f"--target {target}: there is none of that name{near}"])
    given = dict(map(_given, overrides))
    asked = Asked(target, _seconds(budget), cores(), given, beside.absolute())
    place = _place(folder)
    task, draft = _drafted(place, asked)
    lines = [Line("name", _name(folder)), Line(_TASK, task), *draft.lines]
    return first + "".join(
        f"{line}\n"
        for line in (
            *_introduction(folder, file, target, budget, draft),
            *_written(_with(lines, given)),
        )
    )


def _given(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise ConfigError([f"--set {override}: must be key=value, such as seed=7"])
    return key.strip(), parse(text, f"--set {override}").data


def _seconds(budget: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", budget.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise ConfigError([f"--budget {budget}: must be a time such as 5m, 90s or 1h"])
    return seconds


def _place(folder: Path) -> Place:
    if problem := path_problem(str(folder)):
        raise DataError([problem])
    if folder.is_file() and folder.name.lower().endswith(SUFFIXES):
        return Place(folder, folder.parent)
    if not folder.is_dir():
        raise missing(folder, "give a folder, or a .csv, .tsv or .jsonl file")
    images, others, partial = walked(folder, time.monotonic() + WAIT)
    return Place(folder, folder, images, others, partial)


def _drafted(place: Place, asked: Asked) -> tuple[str, Draft]:
    """The task whose examples these are, and its draft. DataError where that is none, or several
    could be meant."""
    wanted = asked.given.get(_TASK)
    if wanted is not None and wanted not in TASKS:
        raise ConfigError([f"--set task={wanted}: no such task{did_you_mean(str(wanted), TASKS)}"])
    found: dict[str, Draft] = {}
    wrong: dict[str, DataError] = {}
    for name in [wanted] if wanted else TASKS:
        if not task_of(name).draft:
            continue
        try:
            draft = imported(task_of(name).draft)(place, asked)
        except DataError as error:
            wrong[name] = error
        else:
            if draft is not None:
                found[name] = draft
    if len(found) > 1:
        told = "; ".join(f"{name}: {draft.found}" for name, draft in found.items())
        raise DataError(
            [f"{place.path}: could be of several tasks: {told}"],
            f"say which one: --set task={next(iter(found))}",
        )
    if not found:
        raise _none(place, wrong, str(wanted or ""))
    name, draft = next(iter(found.items()))
    if DROPS[asked.target] not in task_of(name).drops:
        others = [str(one) for one, drop in DROPS.items() if one and drop in task_of(name).drops]
        raise ConfigError(
            [f"--target {asked.target}: task {name} has no drop for it"],
            f"take {' or '.join(others)}, or leave it out for Linux",
        )
    return name, draft


def _none(place: Place, wrong: Mapping[str, DataError], wanted: str) -> DataError:
    """Why nothing can be drafted: what a task says whose examples they seem to be, if any does."""
    told = {name: one for name, one in wrong.items() if not isinstance(one, OtherTask)} or wrong
    if len(told) == 1:
        return next(iter(told.values()))
    if told:
        lines = [f"as {name}: {line}" for name, error in told.items() for line in error.problems]
        return DataError(lines, "; ".join(error.hint for error in told.values() if error.hint))
    what = "neither images nor texts are in it" if place.others else "nothing is in it"
    if wanted:
        what = f"nothing for task {wanted} is in it"
    more = f" as far as {WAIT:g} s of looking tell" if place.partial else ""
    return DataError(
        [f"{place.path}: {what}{more}"],
        "a folder with a folder of images, or of .txt, for each class; a CSV, TSV or JSONL of "
        "paths or texts with labels; images with boxes as Pascal VOC, COCO, YOLO or CSV",
    )


def _name(folder: Path) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().stem).strip("-._")
    return plain[:64] or "mine"


def _with(lines: Sequence[Line], given: Mapping[str, Any]) -> list[Line]:
    """With the keys that were decided, in the place of drafted ones or behind their section's."""
    found = list(lines)
    for key, value in given.items():
        found = [one for one in found if not one.key.startswith(f"{key}.")]
        line = Line(key, value, "as --set says")
        places = [at for at, one in enumerate(found) if one.key == key]
        section = f"{key.partition('.')[0]}."
        inside = [at for at, one in enumerate(found) if f"{one.key}.".startswith(section)]
        if places:
            found[places[0]] = line
        else:
            found.insert(inside[-1] + 1 if inside else len(found), line)
    return found


def _introduction(
    folder: Path, file: str, target: str | None, budget: str, draft: Draft
) -> Iterator[str]:
    wanted = f" --target {target}" if target else ""
    yield from _comment(f"Written by `tfedge init {folder}{wanted} --budget {budget}`.")
    yield from _comment(f"{draft.found[:1].upper()}{draft.found[1:]}.")
    yield "#"
    yield f"#     tfedge check {file}    the plan, and what is wrong with the data"
    yield f"#     tfedge run {file}"
    yield "#"
    if draft.mind:
        yield "# Mind:"
        for text in draft.mind:
            yield from _comment(f"- {text}", "  ")
        yield "#"
    yield from _comment(
        "`tfedge schema KEY` explains a key, and `tfedge template` has files with more of them."
    )


def _comment(text: str, indent: str = "") -> Iterator[str]:
    for line in wrap(text, WIDTH - 2, subsequent_indent=indent, break_on_hyphens=False):
        yield f"# {line}"


def _written(lines: Sequence[Line]) -> Iterator[str]:
    """Keys by dotted names as nested YAML."""
    opened: tuple[str, ...] = ()
    for line in _gathered(lines):
        *above, name = line.key.split(".")
        depth = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(above, opened, strict=False))
        )
        for at in range(depth, len(above)):
            if at == 0:
                yield ""
            yield f"{'  ' * at}{above[at]}:"
        if not above and (line.value is SECTION or name == "name"):
            yield ""
        text = "" if line.value is SECTION else f" {_value(line.value)}"
        yield from commented(f"{'  ' * len(above)}{name}:{text}", line.why)
        opened = (*above, name) if line.value is SECTION else tuple(above)


def _gathered(lines: Sequence[Line]) -> list[Line]:
    """With what is of one section together, each section once and in front of its keys."""
    first: dict[str, Line] = {}
    for line in lines:
        if line.key not in first or (line.why and not first[line.key].why):
            first[line.key] = line
    order = {key: place for place, key in enumerate(_sections(first))}
    return sorted(first.values(), key=lambda line: _rank(line.key, order))


def _sections(keys: Mapping[str, Line]) -> list[str]:
    """Every dotted name and those above it, in order of appearance."""
    found: dict[str, None] = {}
    for key in keys:
        parts = key.split(".")
        found.update(dict.fromkeys(".".join(parts[: at + 1]) for at in range(len(parts))))
    return list(found)


def _rank(key: str, order: Mapping[str, int]) -> tuple[int, ...]:
    parts = key.split(".")
    return tuple(order[".".join(parts[: at + 1])] for at in range(len(parts)))


def _value(value: Any) -> str:
    """As YAML has it in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
