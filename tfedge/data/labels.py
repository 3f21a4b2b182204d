"""Class names: what can be one, in which order they stand, and those that stand for several."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tfedge.config.spelling import closest
from tfedge.errors import DataError
from tfedge.files.files import few, shown

ONE_LABEL = "this task takes one label an example"
_LIST = re.compile(r"\[.*,.*\]|\{.*,.*\}|\(.*,.*\)")  # as programs write one
# What stands between two labels, and how many of the parts must be labels by themselves to say so:
# some stand in the names of single classes, too.
_SEPARATORS = {";": "0", "|": "0", ",": "1", "+": "1", "&": "1", " ": "all"}


def label_problem(label: str) -> str | None:
    """Why this can't be a class name (a line of a file, a folder's name), or None."""
    if not label.strip():
        return "is empty"
    if label.strip(".") == "" or "/" in label or "\\" in label:
        return "looks like a path"
    if not label.isprintable():
        return "has control characters or is not UTF-8"
    if label != label.strip():
        return "begins or ends with a blank"
    return "has more than 100 characters" if len(label) > 100 else None


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """By name; where all of them are whole numbers, by value: 1, 2, 10."""
    found = sorted(labels)
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in found):
        found.sort(key=int)  # stable: 1 before 01
    return tuple(found)


def pinned(found: Iterable[str], wanted: Sequence[str], where: str) -> tuple[str, ...]:
    """The classes in the order of ``data.classes``. DataError unless they are these."""
    there = in_order(found)
    problems = []
    for label in wanted:
        if label not in there:
            near = closest(label, [one for one in there if one not in wanted])
            guess = f", did you mean {shown(near)}?" if near else ""
            problems.append(f"data.classes: {where} has no class {shown(label)}{guess}")
    problems += [
        f"data.classes: class {shown(label)} of {where} is not listed"
        for label in there
        if label not in wanted
    ]
    if problems:
        listed = ", ".join(map(shown, there[:20])) + ", …" * (len(there) > 20)
        raise DataError(problems, f"list each class once; there are: {listed or 'none'}")
    return tuple(wanted)


def after(earlier: Sequence[str], found: Iterable[str]) -> tuple[tuple[str, ...], str, str]:
    """The classes for a run that goes on from one with ``earlier`` classes: these as they stood,
    new ones after them; that in words; and a warning, if some of the earlier ones are no more."""
    there = in_order(found)
    kept = [label for label in earlier if label in there]
    new = [label for label in there if label not in earlier]
    gone = [label for label in earlier if label not in there]
    parts = [f"{len(kept)} as in the earlier run" if kept else "none of the earlier run"]
    parts += [f"{len(new)} new after them ({few(new)})"] if new else []
    warning = f"classes of the earlier run without examples: {few(gone)}" if gone else ""
    if kept != list(earlier[: len(kept)]):
        warning += "; those behind them move up, and have other numbers than there"
    return (*kept, *new), f"classes: {', '.join(parts)}", warning


def check_labels(labels: Iterable[str], where: str) -> list[str]:
    """Warnings of labels that look like several in one.

    DataError for those that are: what stands between the separators are labels themselves; and for
    labels that are one and the same but for their Unicode form.
    """
    found = in_order(labels)
    problems: list[str] = []
    warnings: list[str] = []
    known = {label.casefold(): label for label in found}
    for label in found:
        parts, sure = _parts(label, known)
        if len(parts) > 1:
            told = f"label {shown(label)!r} holds several: {' and '.join(map(shown, parts))}"
            (problems if sure else warnings).append(told)
    if problems:
        raise DataError(
            [f"{where}: {problem} (multi-label)" for problem in problems[:20]],
            f"{ONE_LABEL}: keep the one that matters, or make a class of its own for both",
        )
    if same := _same_but_for_form(found):
        raise DataError(
            [f"{where}: the same label in two Unicode forms: {text}" for text in same],
            "rename one of them: a file of labels would show the same name twice",
        )
    return [f"{told}? {ONE_LABEL}" for told in _short(warnings)]


def _short(warnings: list[str]) -> list[str]:
    more = [f"{len(warnings) - 2} more labels hold several"] if len(warnings) > 3 else []
    return [*warnings[: 2 if more else 3], *more]


def _parts(label: str, known: Mapping[str, str]) -> tuple[list[str], bool]:
    """The labels that one seems to hold, and whether it surely does."""
    if _LIST.fullmatch(label):
        return [part.strip(" '\"") for part in label[1:-1].split(",")], True
    for separator, enough in _SEPARATORS.items():
        parts = [part.strip() for part in label.split(separator) if part.strip()]
        if len(parts) < 2:
            continue
        others = {part.casefold() for part in parts if part.casefold() in known}
        every = len(others) == len({part.casefold() for part in parts})
        if len(others) >= (len(parts) if enough == "all" else int(enough)):
            sure = (separator in ";|" and bool(others)) or (separator == "," and every)
            return parts, sure
    return [], False


def _same_but_for_form(labels: Sequence[str]) -> list[str]:
    forms: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        forms[unicodedata.normalize("NFC", label)].append(label)
    return [
        " = ".join(f"{label} ({_code_points(label)})" for label in same)
        for same in forms.values()
        if len(same) > 1
    ]


def _code_points(label: str) -> str:
    """The characters that are not plain ASCII, so that two forms can be told apart."""
    return " ".join(f"U+{ord(character):04X}" for character in label if ord(character) > 126)[:60]


def same_name(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in upper and lower case or in their Unicode form only, together."""
    plain: dict[str, list[str]] = defaultdict(list)
    for name in names:
        plain[plain_name(name)].append(name)
    return [same for same in plain.values() if len(same) > 1]


def plain_name(name: str) -> str:
    """What is the same for such names."""
    return unicodedata.normalize("NFC", name).casefold()
