"""Train, val and test by content hash: stratified, and stable when examples are added.

Each example is put on a line from 0 to 1 by the first 52 bits of its file's SHA-256. With shares
val = v and test = t, [0, t) is test, [t, t + v) is val and the rest is train.

*Stable*: the place depends on the example alone. Adding or removing others moves none, renaming
moves none, copies of one file land together, every machine splits alike. (The idea is that of
TensorFlow's old ``retrain.py``, which hashes file names.)

*Stratified*: the same thresholds hold in each class, so that each class is split in the wanted
shares *in expectation*. What no method can have is exact shares as well: with an exact count a
class, a new example that belongs into val must push another one out. The price is sampling noise:
a class of n examples has n·v ± sqrt(n·v·(1 − v)) in val: 40 ± 6 of 200, 2 ± 1.3 of 10.

Small classes are the exception to "moves none", so that none of them starves. Where a wanted split
got no example of a class at all, it takes the one nearest to its part of the line, from a split
that can spare it. Where a class of few (fewer than ten expected in a split) has more in val or test
than its rounded share, or any class more in val than in train, those nearest to train's part go
there. An example that is added moves at most one other then, and one that was moved goes back once
the others allow it.

*Groups*: examples that belong together, such as the frames of one video, stand at one place, that
of their group's name, and stay in one split. Shares are then shares of groups.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from tfedge.data.schema import Split
from tfedge.errors import DataError

_NAMES = ("test", "val", "train")  # in the order of their parts of the line
_FEW = 10  # expected in a split; from here on the hash is even enough by itself

Parts = Mapping[str, tuple[float, float]]


class Reassignment(NamedTuple):
    """A unit that was taken from one split for another, for the sake of a class."""

    label: str
    unit: str
    source: str
    target: str


def split_position(digest: str) -> float:
    """Where an example stands on the line, in [0, 1)."""
    return int(digest[:13], 16) / 16**13  # 52 bits: exact in a float, always below 1


def group_unit(name: str) -> str:
    """The unit that stands for all examples of a group."""
    return hashlib.sha256(f"group\0{name}".encode()).hexdigest()


def assign(
    units: Mapping[str, Iterable[str]], shares: Split, noun: str = "different examples"
) -> tuple[dict[str, dict[str, str]], list[Reassignment]]:
    """The split of each unit, by class, and those that had to be moved.

    ``units`` has those of each class, in any order; the same one twice counts once. A unit is the
    SHA-256 of an example's file, or ``group_unit`` of its group, which may stand in several classes
    and is in one split in all of them. Raises DataError that names every class with fewer units
    than wanted splits.
    """
    if shares.val + shares.test >= 1:
        raise DataError([f"data.split: val {shares.val} and test {shares.test} leave no train"])
    parts = _parts(shares)
    classes = {label: frozenset(units[label]) for label in sorted(units)}
    small = [
        f"class {label}: {len(held)} {noun}, too few for {', '.join(parts)}"
        for label, held in classes.items()
        if len(held) < len(parts)
    ]
    if small:
        raise DataError(small, "add more to these classes, or take their folders away")
    job = _Assignment(classes, shares, parts)
    for label in classes:
        job.fill_empty(label)
        job.cap(label)
    return {
        label: {unit: job.split[unit] for unit in classes[label]} for label in classes
    }, job.moved


def _parts(shares: Split) -> Parts:
    """The part of the line of each wanted split, as (from, to)."""
    ends = [0.0, shares.test, shares.test + shares.val, 1.0]
    parts = dict(zip(_NAMES, pairwise(ends), strict=True))
    return {name: part for name, part in parts.items() if part[1] > part[0]}


def _by_hash(unit: str, parts: Parts) -> str:
    return next(name for name, (start, end) in parts.items() if start <= split_position(unit) < end)


@dataclass
class _Assignment:
    """Splits of units, at first those of the hash, and what is moved since."""

    classes: Mapping[str, frozenset[str]]
    shares: Split
    parts: Parts
    split: dict[str, str] = field(init=False)
    moved: list[Reassignment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.labels: dict[str, list[str]] = defaultdict(list)  # of each unit
        for label, held in self.classes.items():
            for unit in held:
                self.labels[unit].append(label)
        self.split = {unit: _by_hash(unit, self.parts) for unit in self.labels}
        self.counts = {
            label: {name: sum(self.split[unit] == name for unit in held) for name in self.parts}
            for label, held in self.classes.items()
        }

    def fill_empty(self, label: str) -> None:
        """Give every wanted split a unit of this class, as far as others can spare one."""
        for name, (start, end) in self.parts.items():
            if not self.counts[label][name]:
                middle = (start + end) / 2
                spare = [unit for unit in self.classes[label] if self._can_leave(unit)]
                if spare:
                    nearest = min(
                        spare, key=lambda unit: (abs(split_position(unit) - middle), unit)
                    )
                    self._move(label, nearest, name)

    def cap(self, label: str) -> None:
        """Move what a small class has beyond its share, and any in val beyond train, to train."""
        counts, n = self.counts[label], len(self.classes[label])
        val, test = self.shares.val, self.shares.test
        for name, share in (("test", test), ("val", val)):
            if name in self.parts and n * share < _FEW:
                while counts[name] > max(1, round(n * share)) and self._to_train(label, name):
                    pass
        if val <= 1 - val - test:  # else more in val than in train is what was asked for
            while counts["val"] > counts["train"] and self._to_train(label, "val"):
                pass

    def _to_train(self, label: str, name: str) -> bool:
        """Move the unit of a split that is nearest to train's part there; False: none can."""
        units = [
            unit
            for unit in self.classes[label]
            if self.split[unit] == name and self._can_leave(unit)
        ]
        if units:
            self._move(label, max(units, key=lambda unit: (split_position(unit), unit)), "train")
        return bool(units)

    def _can_leave(self, unit: str) -> bool:
        """Whether all classes have another unit in its split."""
        return all(self.counts[label][self.split[unit]] > 1 for label in self.labels[unit])

    def _move(self, label: str, unit: str, target: str) -> None:
        source, self.split[unit] = self.split[unit], target
        for other in self.labels[unit]:
            self.counts[other][source] -= 1
            self.counts[other][target] += 1
        self.moved.append(Reassignment(label, unit, source, target))
