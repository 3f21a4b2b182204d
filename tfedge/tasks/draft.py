"""What a first pipeline is made of: what lies in a folder, what was asked for, and the keys that
follow, each with its reason.

A task's row names the function that drafts pipelines of it. Nothing here imports TensorFlow or
numpy.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfedge.data.copies import Copies
from tfedge.data.listing import Entry, Listing
from tfedge.errors import DataError
from tfedge.files.files import few, shown
from tfedge.files.text import roughly
from tfedge.inputs.images.annotations.images import Images
from tfedge.pipeline.schema import Pipeline, pipeline_of

# What a pipeline can be wanted for, and the drop that serves it.
DROPS: Mapping[str | None, str] = {
    None: "linux",
    "android": "android",
    "coral": "coral",
    "pi": "linux",
}
SECTION = object()  # the value of a key with nothing behind it but, perhaps, keys of its own
LOOKED_AT = 1 << 22  # bytes of a table
WAIT = 2.0  # seconds for the names of all files
MOMENT = 0.15  # seconds in which files are opened, for each thing that is looked for
_FEW = 10  # examples of a class from which on some of them only test
_UNEVEN = 3.0  # largest to smallest class
_LOSS = 0.02  # of accuracy, that int8 may cost


@dataclass(frozen=True)
class Place:
    """A folder or a table that a pipeline is wanted for.

    ``images`` and ``others`` are its files, hidden ones left out; ``partial``: there are more than
    were looked at in time.
    """

    path: Path
    root: Path
    images: Images = field(default_factory=lambda: Images({}))
    others: Sequence[str] = ()
    partial: bool = False

    @property
    def is_file(self) -> bool:
        return self.path != self.root

    def tables(self, suffixes: Sequence[str]) -> list[Path]:
        """The tables at its top, or the one that it is itself."""
        names = [self.path.name] if self.is_file else [n for n in self.others if "/" not in n]
        found = [self.root / name for name in names if name.lower().endswith(tuple(suffixes))]
        return [table for table in found if table.is_file()]


@dataclass(frozen=True)
class Asked:
    """``budget``: seconds for a run of its own on ``cores`` cores. ``given`` are keys that are
    decided already, by their dotted names; ``beside`` is the folder of the pipeline file."""

    target: str | None
    budget: float
    cores: int
    given: Mapping[str, Any]
    beside: Path

    def relative(self, path: Path) -> str:
        """A path as the pipeline file has it."""
        found = os.path.relpath(path, self.beside)
        far = found.startswith(os.path.join("..", "..", ".."))  # noqa: PTH118 (as relpath joins)
        return str(path.absolute()) if far else Path(found).as_posix()


@dataclass(frozen=True)
class Line:
    """A key by its dotted name, its value or ``SECTION``, and why it is so."""

    key: str
    value: Any = SECTION
    why: str = ""


@dataclass(frozen=True)
class Draft:
    """``found`` says in a few words what there is; ``mind`` what its reader should mind."""

    found: str
    lines: tuple[Line, ...]
    mind: tuple[str, ...] = ()

    def tree(self, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline as plain data, with the keys that are decided already."""
        tree: dict[str, Any] = {"name": "draft", "task": task}
        decided = [Line(key, value) for key, value in given.items()]
        for line in (*self.lines, *decided):
            *above, name = line.key.split(".")
            section = tree
            for part in above:
                if not isinstance(section.get(part), dict):
                    section[part] = {}
                section = section[part]
            section[name] = {} if line.value is SECTION else line.value
        return tree


def within(
    drafts: Iterable[Draft], task: str, asked: Asked, seconds: Callable[[Pipeline], float]
) -> Draft:
    """The first of these drafts that a run is done with in the budget, else the last. ``seconds``
    estimates a run of a pipeline. Drafts of keys that are given wrongly are not estimated."""
    about, found = 0.0, None
    for found in drafts:
        try:
            about = seconds(pipeline_of(found.tree(task, asked.given)))
        except (ValueError, KeyError, TypeError, OSError):
            return found  # whoever reads the file says what is wrong with them
        if about <= asked.budget:
            break
    assert found is not None, "there is one at least"
    cores = f"{asked.cores} core{'s' * (asked.cores != 1)}"
    told = f"a run takes about {roughly(about)} on {cores}, perhaps half or twice that"
    if about <= asked.budget:
        return replace(found, found=f"{found.found}; {told}")
    late = f"{told}: longer than {roughly(asked.budget)}, and nothing smaller is left to choose"
    return replace(found, mind=(*found.mind, late))


@dataclass(frozen=True)
class Counted:
    """How many different examples there are of each class, without copies. ``whole``: all of them
    were counted; ``parts`` are those of each split, empty where the pipeline splits them."""

    classes: Mapping[str, int]
    noun: str
    whole: bool = True
    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.classes.values())

    @property
    def smallest(self) -> int:
        return min(self.classes.values())

    @property
    def uneven(self) -> bool:
        return self.whole and max(self.classes.values()) > _UNEVEN * self.smallest

    @property
    def tests(self) -> bool:
        """Whether there is enough of each class to test on."""
        return not self.whole or self.smallest >= _FEW

    @property
    def shares(self) -> tuple[float, float]:
        """Of validation and test."""
        return (0.15, 0.2) if self.tests else (0.2, 0.0)

    @property
    def train(self) -> int:
        """About how many train."""
        return self.parts.get("train") or round(self.total * (1 - sum(self.shares)))

    @property
    def judged(self) -> int:
        """About how many accuracy is measured on: one of each class at least."""
        if self.parts:
            return max(1, self.parts.get("test") or self.parts.get("val") or self.total // 5)
        val, test = self.shares
        return max(len(self.classes), round(self.total * (test or val)))

    def told(self) -> str:
        """``"2,847 images in 5 classes"``"""
        least = "" if self.whole else "more than "
        count = len(self.classes)
        return f"{least}{self.total:,} {self.noun} in {count} class{'es' * (count != 1)}"

    def listed(self) -> str:
        """The classes with their counts, or the largest and smallest of many."""
        ordered = sorted(self.classes.items(), key=lambda item: -item[1])
        texts = [f"{shown(name)} {count:,}" for name, count in ordered]
        return ", ".join(texts if len(texts) <= 12 else [*texts[:5], "…", *texts[-3:]])


def counted(listing: Listing, copies: Copies) -> Counted:
    """The examples of a listing by class."""
    found = Counter(dict.fromkeys(listing.classes, 0))
    found.update(entry.label for entry in listing.entries)
    found.subtract(copies.further)
    parts = Counter(entry.split or "train" for entry in listing.entries)
    whole = not listing.partial
    return Counted(found, listing.kind.many, whole, parts if len(parts) > 1 else {})


def splits(found: Counted, noun: str, root: Path) -> list[Line]:
    """``data.split``. DataError where a class has too few to be split."""
    if found.parts:
        return []
    small = [name for name, count in found.classes.items() if found.whole and count < 2]
    if small:
        what = f"{len(small)} of {len(found.classes)} classes have fewer than two different {noun}"
        raise DataError(
            [f"{root}: {what}: {few(small)}"],
            "one has to train and another one to judge: add some, or take these classes away",
        )
    val, test = found.shares
    why = f"{found.smallest} {noun} of the smallest class are too few to keep some for testing"
    rest = (
        [Line("data.split.test", test, "chooses nothing: what accuracy is measured on")]
        if found.tests
        else [Line("data.split.test", test, f"{why}; accuracy is measured on val")]
    )
    about = "shares of each class, drawn by content, so that copies stay together"
    return [Line("data.split", SECTION, about), Line("data.split.val", val), *rest]


def copied(copies: Copies, kind: str) -> tuple[list[Line], list[str]]:
    """The keys that let a run go on where the same content is there twice, and what to mind."""
    lines, mind = [], []
    if copies.conflicts:
        names = f"{len(copies.conflicts)} ({_names(copies.conflicts)})"
        lines.append(
            Line("data.on_conflict", "drop", f"the same {kind} under two labels: all copies go")
        )
        mind.append(f"the same {kind} under two labels, all left out: {names}")
    if copies.leaks:
        lines.append(
            Line("data.on_leak", "drop", f"the same {kind} in two splits: it stays where it judges")
        )
        names = f"{len(copies.leaks)} ({_names(copies.leaks)})"
        mind.append(f"the same {kind} in two splits: {names}")
    if copies.groups:
        count = sum(len(group) - 1 for group in copies.groups)
        mind.append(f"further copies of {kind}s: {count} ({_names(copies.groups)})")
    if copies.unseen:
        mind.append(f"not compared with the others, for want of time: {copies.unseen:,} {kind}s")
    return lines, mind


def _names(groups: Sequence[Sequence[Entry]]) -> str:
    return few([" = ".join(shown(entry.path) for entry in group[:2]) for group in groups])


def balanced(found: Counted, sections: Sequence[str]) -> list[Line]:
    """Class weights for the sections that train, where classes are uneven."""
    if not found.uneven:
        return []
    most = max(found.classes.values())
    why = f"{most:,} of the largest class, {found.smallest:,} of the smallest: they count the same"
    lines = [Line(f"{section}.class_weights", "balanced") for section in sections]
    return [replace(lines[0], why=why), *lines[1:]]


def gate(key: str, judged: int, least: float = _LOSS) -> list[Line]:
    """How much int8 may lose, which is more than chance of two examples."""
    lines = [Line("evaluate.gates", SECTION, "a model that is worse does not ship: exit code 6")]
    allowed = max(least, -(-200 // judged) / 100)
    if allowed > 0.5:
        why = f"no gate: about {judged} examples judge, each of them {1 / judged:.0%} of accuracy"
        return [Line("evaluate", SECTION, why)]
    why = "of what the float model has, that int8 may lose"
    if allowed > least:
        why += f": two of about {judged} examples that judge"
    return [Line("evaluate", SECTION, ""), *lines, Line(f"evaluate.gates.{key}", allowed, why)]


def delivered(asked: Asked) -> list[Line]:
    """Where it is measured, and what is packed for whom."""
    place = {
        "android": "this machine; your phone, once adb sees it: [local, adb]",
        "pi": "this machine; the board: [local, ssh://pi@raspberrypi.local]",
        "coral": "this machine; the board: [local, ssh://mendel@coral.local]",
        None: "latency on this machine; others by ssh or adb: docs/bench.md",
    }[asked.target]
    packed = {
        "android": "for --target android: Kotlin and the model",
        "pi": "for --target pi: a script and the model, as on any Linux",
        "coral": "for --target coral: a script and the model, for the Edge TPU",
        None: "as no --target was given: Linux; android and coral are others",
    }[asked.target]
    lines = [
        Line("benchmark", SECTION),
        Line("benchmark.devices", ["local"], place),
        Line("package", SECTION),
        Line("package.targets", [DROPS[asked.target]], packed),
    ]
    if asked.target == "coral":
        why = "the drop has a script that calls Google's compiler; now: it is called in the run"
        lines.append(Line("package.coral.compile", "defer", why))
    return lines
