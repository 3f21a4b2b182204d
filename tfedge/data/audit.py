"""Looking at the examples before anything trains on them.

Two of them are *identical* when what they say is: copies of a file, and of images the same photo
saved with other metadata. Identical ones under two labels are a *conflict*, in two splits a
*leak*. Those that are nearly the same, such as frames of one video, in two splits are *near*: a
warning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tfedge.data.checks import counts_of, fill_up, lacking
from tfedge.data.index import SPLITS, Index, Row
from tfedge.data.kind import Kind
from tfedge.data.labels import same_name
from tfedge.data.listing import Listing
from tfedge.data.schema import Data
from tfedge.data.sources import Scan
from tfedge.data.split import Reassignment, assign, group_unit
from tfedge.errors import ArtifactError, DataError
from tfedge.files.artifact import read_json, write_json
from tfedge.files.files import NAMED, few, shown

SHOWN = 20  # files named for one kind of problem
KEPT = 200  # pairs of near examples that audit.json names
TINY = 10  # training examples; classes with fewer get a warning
IMBALANCE = 10.0  # largest to smallest class; above it there is a warning


class Bad(NamedTuple):
    """Why a file can't be used, and the way out where it is not to repair it."""

    reason: str
    remedy: str = ""


class Contents(NamedTuple):
    """What files hold, by their SHA-256.

    ``same`` is equal where the content is; ``near`` is a hash of which few of 64 bits differ for
    contents that may be alike, ``alike`` confirms it. ``remarks`` is what is worth a warning.
    """

    same: Mapping[str, bytes]
    bad: Mapping[str, Bad]
    near: Mapping[str, int]
    alike: Callable[[str, str], bool]
    remarks: Mapping[str, str]


@dataclass(frozen=True)
class Audited:
    """One readable example. ``same`` is equal where what they say is."""

    path: str
    label: str
    split: str  # "" until the content hash has decided
    sha256: str
    same: bytes
    group: str | None = None

    def as_json(self) -> dict[str, str]:
        return {"path": self.path, "label": self.label, "split": self.split}

    @property
    def unit(self) -> str:
        """What goes into one split with it."""
        return self.sha256 if self.group is None else group_unit(self.group)


@dataclass
class Findings:
    """What audit.json holds."""

    skipped: list[dict[str, str]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    leaks: list[dict[str, Any]] = field(default_factory=list)
    near: list[dict[str, Any]] = field(default_factory=list)  # pairs in two splits, the first ones
    duplicates: int = 0  # further copies within one class and split
    copies: list[dict[str, Any]] = field(default_factory=list)  # … the first groups of them
    remarks: list[dict[str, str]] = field(default_factory=list)  # of one file each, the first ones
    warnings: list[str] = field(default_factory=list)
    imbalance: float = 1.0  # of the training split: largest class to smallest
    order: str | None = None  # of the classes, where it is that of an earlier run

    def remark(self, found: Mapping[str, Sequence[str]]) -> list[str]:
        """What is odd, each with the paths of the files that it is said of: warnings, which it
        returns."""
        said = []
        for what, paths in found.items():
            files = list(dict.fromkeys(paths))
            said.append(f"{what}: {len(paths)} ({few(files)})")
            self.remarks += [{"path": path, "what": what} for path in files[:SHOWN]]
        self.warnings += said
        return said

    def save(self, path: Path) -> None:
        write_json(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> Findings:
        """Reads audit.json. ArtifactError if it is damaged."""
        try:
            return cls(**read_json(path))
        except TypeError as error:
            raise ArtifactError(path, f"no findings: {error}", "run with --force") from None


@dataclass
class _Problems:
    lines: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def add(self, lines: Sequence[str], hint: str) -> None:
        if lines:
            more = [f"… and {len(lines) - SHOWN} more like these"] if len(lines) > SHOWN else []
            self.lines += [*lines[:SHOWN], *more]
            self.hints += [hint] if hint not in self.hints else []


def audit(
    scan: Scan, content: Contents, data: Data, skip_bad: bool = False
) -> tuple[Index, Findings]:
    """The index to train on, and what was found on the way.

    ``skip_bad``, ``data.on_conflict`` and ``data.on_leak`` say what is an error. Raises DataError
    with every problem that was found, each file by its name.
    """
    listing, problems = scan.listing, _Problems()
    findings = Findings(warnings=list(listing.warnings), order=listing.order)
    examples = _readable(scan, content, skip_bad, findings, problems)
    examples = _without_conflicts(examples, data, findings, problems)
    examples = _split(examples, scan.listing, findings, problems)
    examples = _without_leaks(examples, data, findings, problems)
    _count_copies(examples, findings)
    _check_classes(examples, scan.listing, findings, problems)
    if problems.lines:
        raise DataError(problems.lines, "; ".join(problems.hints))
    _warn_of_names(examples, findings)
    _warn_of_near(examples, content, findings, scan.listing.kind)
    _warn_of_remarks(examples, content.remarks, findings)
    classes = scan.listing.classes
    number = {label: place for place, label in enumerate(classes)}
    rows = (Row(p.path, number.get(p.label, -1), p.split, p.sha256) for p in examples)
    return Index(classes, tuple(sorted(rows)), scan.listing.split_from), findings


def _readable(
    scan: Scan, content: Contents, skip_bad: bool, findings: Findings, problems: _Problems
) -> list[Audited]:
    kind = scan.listing.kind
    examples = []
    lines: list[str] = []
    remedies: dict[str, None] = {}  # in their order
    for entry in scan.listing.entries:
        digest = scan.digests.get(entry.path, "")
        bad = content.bad.get(digest)
        if bad is None and entry.path in scan.unreadable:
            bad = Bad(scan.unreadable[entry.path])
        if bad is None:
            same = content.same[digest]
            examples.append(
                Audited(entry.path, entry.label, entry.split or "", digest, same, entry.group)
            )
        elif skip_bad:
            findings.skipped.append({"path": entry.path, "reason": bad.reason})
        else:
            lines.append(f"{shown(entry.path)}: {bad.reason}")
            remedies[bad.remedy or f"repair or remove these {kind.many}"] = None
    if findings.skipped:
        left_out = [row["path"] for row in findings.skipped]
        findings.warnings.append(
            f"bad {kind.many} left out: {len(left_out)} ({kind.may_skip}: skip): {few(left_out)}"
        )
    problems.add(lines, "; ".join(remedies) + f", or set {kind.may_skip}: skip")
    return examples


def _identical(examples: Iterable[Audited]) -> list[list[Audited]]:
    groups: dict[bytes, list[Audited]] = defaultdict(list)
    for example in examples:
        groups[example.same].append(example)
    return [group for group in groups.values() if len(group) > 1]


def _names(group: Sequence[Audited], what: Mapping[str, str]) -> str:
    return " = ".join(f"{shown(one.path)} ({what[one.path]})" for one in group)


def _without_conflicts(
    examples: list[Audited], data: Data, findings: Findings, problems: _Problems
) -> list[Audited]:
    """All copies go: which label is right can't be known."""
    kind = data.kind
    drop: set[str] = set()
    lines = []
    for group in _identical(examples):
        if len({example.label for example in group}) == 1:
            continue
        drop |= {example.path for example in group}
        told = kind.labels.told
        names = _names(group, {example.path: told(example.label) for example in group})
        lines.append(f"the same {kind.one} under two labels: {names}")
        findings.conflicts.append({"pictures": [example.as_json() for example in group]})
    if data.on_conflict == "error":
        problems.add(lines, f"keep each {kind.one} under one label, or set data.on_conflict: drop")
    elif lines:
        findings.warnings.append(
            f"{kind.many} under two labels left out: {len(drop)} (data.on_conflict: drop)"
        )
    return [example for example in examples if example.path not in drop]


def _split(
    examples: list[Audited], listing: Listing, findings: Findings, problems: _Problems
) -> list[Audited]:
    """Fills in the splits that the content hash decides."""
    if listing.shares is None:
        return examples
    units: dict[str, list[str]] = defaultdict(list)
    stratum = listing.kind.labels.stratum
    for example in examples:
        if not example.split:
            units[stratum(example.label)].append(example.unit)
    with_groups = any(example.group is not None for example in examples)
    noun = "group(s)" if with_groups else f"different {listing.kind.one}(s)"
    try:
        splits, moved = assign(units, listing.shares, noun)
    except DataError as error:
        hint = error.hint
        if with_groups and listing.shares.test:
            hint += "; without data.split.test two groups are enough"
        problems.add(error.problems, hint)
        return [replace(p, split=p.split or "train") for p in examples]
    first = {example.unit: example.path for example in reversed(examples)}
    findings.warnings += _moved(moved, first, listing.kind)
    return [p if p.split else replace(p, split=splits[stratum(p.label)][p.unit]) for p in examples]


def _moved(moved: Sequence[Reassignment], first: Mapping[str, str], kind: Kind) -> list[str]:
    """What was moved for the sake of small classes, in one line."""
    if not moved:
        return []
    classes = sorted({move.label for move in moved})
    names = [f"{shown(first[m.unit])}: {m.source} to {m.target}" for m in moved]
    return [
        f"too few {kind.many} for the hash to split evenly: {_counted(classes)} ({few(classes)}); "
        f"moved to another split: {len(moved)} ({few(names)})"
    ]


def _counted(classes: Sequence[str], all_of_them: Sequence[str] = ()) -> str:
    of = f"{len(classes)} of {len(all_of_them)}" if all_of_them else f"{len(classes)}"
    return f"{of} class{'es' * (len(all_of_them or classes) != 1)}"


def _without_leaks(
    examples: list[Audited], data: Data, findings: Findings, problems: _Problems
) -> list[Audited]:
    """Dropped are the copies in the split that can spare them: train before val before test."""
    kind = data.kind
    drop: set[str] = set()
    lines = []
    for what, group in (*_identical_leaks(examples, kind), *_parted_groups(examples)):
        splits = {example.split for example in group}
        keep = max(splits, key=SPLITS.index)
        dropped = [p.path for p in group if p.split != keep] if data.on_leak == "drop" else []
        drop.update(dropped)
        names = _names(group[:NAMED], {example.path: example.split for example in group})
        lines.append(f"{what} in two splits: {names}" + ", …" * (len(group) > NAMED))
        findings.leaks.append({"pictures": [p.as_json() for p in group], "dropped": dropped})
    if data.on_leak == "error":
        problems.add(lines, "remove the copies, or set data.on_leak: drop")
    elif lines:
        done = f"copies left out: {len(drop)}" if data.on_leak == "drop" else "all kept"
        findings.warnings.append(
            f"{kind.many} in two splits: {len(lines)}, {done} (data.on_leak: {data.on_leak})"
        )
    return [example for example in examples if example.path not in drop]


def _identical_leaks(examples: Sequence[Audited], kind: Kind) -> list[tuple[str, list[Audited]]]:
    groups = _identical(examples)
    return [
        (f"the same {kind.one}", group) for group in groups if len({p.split for p in group}) > 1
    ]


def _parted_groups(examples: Sequence[Audited]) -> list[tuple[str, list[Audited]]]:
    """Groups of ``data.group`` that the data's own split parts; one of each split first."""
    members: dict[str, list[Audited]] = defaultdict(list)
    for example in examples:
        if example.group is not None:
            members[example.group].append(example)
    parted = []
    for name, group in members.items():
        if len({example.split for example in group}) > 1:
            by_split = {example.split: example for example in reversed(group)}
            firsts = [by_split[split] for split in SPLITS if split in by_split]
            rest = [example for example in group if example not in firsts]
            parted.append((f"group {shown(name)}", [*firsts, *rest]))
    return parted


def _count_copies(examples: Iterable[Audited], findings: Findings) -> None:
    alike: dict[tuple[bytes, str, str], list[Audited]] = defaultdict(list)
    for example in examples:
        alike[example.same, example.label, example.split].append(example)
    groups = [group for group in alike.values() if len(group) > 1]
    findings.duplicates = sum(len(group) - 1 for group in groups)
    findings.copies = [
        {"pictures": [one.as_json() for one in group[:SHOWN]]} for group in groups[:SHOWN]
    ]


def _check_classes(
    examples: list[Audited], listing: Listing, findings: Findings, problems: _Problems
) -> None:
    classes, kind = listing.classes, listing.kind
    counts = counts_of(listing, ((example.split, example.label) for example in examples))
    problems.add(lacking(listing, counts, "good "), fill_up(listing))
    splits = [split for split in SPLITS if any(example.split == split for example in examples)]
    if examples and listing.shares is None and "val" not in splits:
        problems.add([f"no {kind.one} in val"], "put some there, or let data.split decide")
    for split in splits:
        empty = [label for label in classes if not counts[split, label]]
        if empty and split != "train":
            findings.warnings.append(
                f"no {kind.counted or kind.one} in {split}, which can't be judged there: "
                f"{_counted(empty, classes)} ({few(empty)})"
            )
    train = {label: counts["train", label] for label in classes if counts["train", label]}
    small = [f"{label}: {count}" for label, count in train.items() if count < TINY]
    if small:
        findings.warnings.append(
            f"fewer than {TINY} training {kind.things}: {_counted(small, classes)} ({few(small)})"
        )
    if train:
        most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
        findings.imbalance = round(train[most] / train[least], 3)
        if findings.imbalance > IMBALANCE:
            findings.warnings.append(
                f"heavy imbalance: {train[most]} training {kind.things} of {most}, {train[least]} "
                f"of {least}" + ("" if kind.counted else "; see finetune.class_weights")
            )
    if twins := [" = ".join(sorted(same)) for same in same_name(classes)]:
        findings.warnings.append(f"classes that differ in upper and lower case only: {few(twins)}")


def _warn_of_names(examples: Sequence[Audited], findings: Findings) -> None:
    """Files of which a file system that is no exact one keeps the last."""
    folders: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        folders[example.path.rpartition("/")[0]].append(example.path)
    found = [names for paths in folders.values() for names in same_name(paths)]
    if same := [" = ".join(map(shown, names)) for names in found]:
        findings.warnings.append(
            "files whose names differ in case or Unicode form only, of which Windows and macOS "
            f"keep one: {len(same)} ({few(same)})"
        )


def _warn_of_near(
    examples: Sequence[Audited], content: Contents, findings: Findings, kind: Kind
) -> None:
    """Examples in two splits that are nearly the same, with what would keep them together."""
    from tfedge.data.near import near_pairs, numbered

    compared = [example for example in examples if example.sha256 in content.near]
    by_path = {example.path: example for example in compared}
    content_of = {example.path: example.sha256 for example in compared}
    pairs = near_pairs(
        list(by_path),
        [content.near[example.sha256] for example in compared],
        [example.split for example in compared],
        lambda one, other: (
            by_path[one].same != by_path[other].same
            and content.alike(content_of[one], content_of[other])
        ),
    )
    if not pairs:
        return
    findings.near = [
        {"pictures": [by_path[one].as_json(), by_path[other].as_json()]}
        for one, other in pairs[:KEPT]
    ]
    told = [" ≈ ".join(f"{shown(path)} ({by_path[path].split})" for path in pair) for pair in pairs]
    judged = {path for pair in pairs for path in pair if by_path[path].split != "train"}
    findings.warnings.append(
        f"near-identical {kind.many} in two splits, {len(judged)} of them in val or test: "
        f"{few(told)}; the accuracy measured is too high then. "
        f"{_remedy(numbered(pairs), kind)}"
    )


def _remedy(expression: str | None, kind: Kind) -> str:
    given = f": data.group: '{expression}'" if expression else ""
    return (
        f"What belongs together ({kind.together}) stays in one split by "
        f"data.group, a column of the CSV or an expression over the path{given}"
    )


def _warn_of_remarks(
    examples: Sequence[Audited], remarks: Mapping[str, str], findings: Findings
) -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        if example.sha256 in remarks:
            found[remarks[example.sha256]].append(example.path)
    findings.remark(found)
