"""Looking at the images before anything trains on them.

Two images are *identical* when their decoded pixels are: copies of a file, and the same photo
saved with other metadata. Identical images under two labels are a *conflict*, in two splits a
*leak*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfedge.data.index import SPLITS, Index, Row
from tfedge.data.listing import Listing
from tfedge.data.schema import Data
from tfedge.data.sources import Scan
from tfedge.data.split import assign
from tfedge.errors import ArtifactError, DataError
from tfedge.files.artifact import read_json, write_json
from tfedge.files.files import shown

SHOWN = 20  # files named for one kind of problem
TINY = 10  # training images; classes with fewer get a warning
IMBALANCE = 10.0  # largest to smallest class; above it there is a warning


@dataclass(frozen=True)
class AuditedImage:
    """One readable image. ``pixels`` is a hash of what it decodes to."""

    path: str
    label: str
    split: str  # "" until the content hash has decided
    sha256: str
    pixels: bytes

    def as_json(self) -> dict[str, str]:
        return {"path": self.path, "label": self.label, "split": self.split}


@dataclass
class Findings:
    """What audit.json holds."""

    skipped: list[dict[str, str]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    leaks: list[dict[str, Any]] = field(default_factory=list)
    duplicates: int = 0  # further copies within one class and split
    warnings: list[str] = field(default_factory=list)
    imbalance: float = 1.0  # of the training split: largest class to smallest

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
            self.hints.append(hint)


def audit(
    scan: Scan,
    pixels: Mapping[str, bytes],
    bad: Mapping[str, str],
    data: Data,
    skip_bad: bool = False,
) -> tuple[Index, Findings]:
    """The index to train on, and what was found on the way.

    By SHA-256 of the file: ``pixels`` has a hash of what each good image decodes to, ``bad`` why
    the others don't. ``skip_bad``, ``data.on_conflict`` and ``data.on_leak`` say what is an error.
    Raises DataError with every problem that was found, each file by its name.
    """
    findings, problems = Findings(warnings=list(scan.listing.warnings)), _Problems()
    images = _readable(scan, pixels, bad, skip_bad, findings, problems)
    images = _without_conflicts(images, data, findings, problems)
    images = _split(images, scan.listing, findings, problems)
    images = _without_leaks(images, data, findings, problems)
    groups = Counter((p.pixels, p.label, p.split) for p in images)
    findings.duplicates = sum(count - 1 for count in groups.values())
    _check_classes(images, scan.listing, findings, problems)
    if problems.lines:
        raise DataError(problems.lines, "; ".join(problems.hints))
    classes = scan.listing.classes
    number = {label: place for place, label in enumerate(classes)}
    rows = (Row(p.path, number[p.label], p.split, p.sha256) for p in images)
    return Index(classes, tuple(sorted(rows)), scan.listing.split_from), findings


def _readable(
    scan: Scan,
    pixels: Mapping[str, bytes],
    bad: Mapping[str, str],
    skip_bad: bool,
    findings: Findings,
    problems: _Problems,
) -> list[AuditedImage]:
    images, lines = [], []
    for entry in scan.listing.entries:
        digest = scan.digests.get(entry.path, "")
        reason = bad.get(digest) or scan.unreadable.get(entry.path)
        if reason is None:
            row = AuditedImage(entry.path, entry.label, entry.split or "", digest, pixels[digest])
            images.append(row)
        elif skip_bad:
            findings.skipped.append({"path": entry.path, "reason": reason})
        else:
            lines.append(f"{shown(entry.path)}: {reason}")
    if findings.skipped:
        findings.warnings.append(
            f"bad images left out: {len(findings.skipped)} (data.on_bad_image: skip)"
        )
    problems.add(lines, "repair or remove these images, or set data.on_bad_image: skip")
    return images


def _identical(images: Iterable[AuditedImage]) -> list[list[AuditedImage]]:
    groups: dict[bytes, list[AuditedImage]] = defaultdict(list)
    for image in images:
        groups[image.pixels].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _names(group: Sequence[AuditedImage], what: Mapping[str, str]) -> str:
    return " = ".join(f"{shown(image.path)} ({what[image.path]})" for image in group)


def _without_conflicts(
    images: list[AuditedImage], data: Data, findings: Findings, problems: _Problems
) -> list[AuditedImage]:
    """All copies go: which label is right can't be known."""
    drop: set[str] = set()
    lines = []
    for group in _identical(images):
        if len({image.label for image in group}) == 1:
            continue
        drop |= {image.path for image in group}
        names = _names(group, {image.path: image.label for image in group})
        lines.append(f"the same image under two labels: {names}")
        findings.conflicts.append({"pictures": [image.as_json() for image in group]})
    if data.on_conflict == "error":
        problems.add(lines, "keep each image under one label, or set data.on_conflict: drop")
    elif lines:
        findings.warnings.append(
            f"pictures under two labels left out: {len(drop)} (data.on_conflict: drop)"
        )
    return [image for image in images if image.path not in drop]


def _split(
    images: list[AuditedImage], listing: Listing, findings: Findings, problems: _Problems
) -> list[AuditedImage]:
    """Fills in the splits that the content hash decides."""
    if listing.shares is None:
        return images
    digests: dict[str, list[str]] = defaultdict(list)
    for image in images:
        if not image.split:
            digests[image.label].append(image.sha256)
    try:
        splits, moved = assign(digests, listing.shares)
    except DataError as error:
        problems.add(error.problems, error.hint)
        return [replace(p, split=p.split or "train") for p in images]
    first = {image.sha256: image.path for image in reversed(images)}
    findings.warnings += [
        f"class {move.label}: its hash put no image into {move.target}, so "
        f"{shown(first[move.digest])} was taken from {move.source}"
        for move in moved
    ]
    return [p if p.split else replace(p, split=splits[p.label][p.sha256]) for p in images]


def _without_leaks(
    images: list[AuditedImage], data: Data, findings: Findings, problems: _Problems
) -> list[AuditedImage]:
    """Dropped are the copies in the split that can spare them: train before val before test."""
    drop: set[str] = set()
    lines = []
    for group in _identical(images):
        splits = {image.split for image in group}
        if len(splits) == 1:
            continue
        keep = max(splits, key=SPLITS.index)
        dropped = [p.path for p in group if p.split != keep] if data.on_leak == "drop" else []
        drop.update(dropped)
        names = _names(group, {image.path: image.split for image in group})
        lines.append(f"the same image in two splits: {names}")
        findings.leaks.append({"pictures": [p.as_json() for p in group], "dropped": dropped})
    if data.on_leak == "error":
        problems.add(lines, "remove the copies, or set data.on_leak: drop")
    elif lines:
        done = f"copies left out: {len(drop)}" if data.on_leak == "drop" else "all kept"
        findings.warnings.append(
            f"pictures in two splits: {len(lines)}, {done} (data.on_leak: {data.on_leak})"
        )
    return [image for image in images if image.path not in drop]


def _check_classes(
    images: list[AuditedImage], listing: Listing, findings: Findings, problems: _Problems
) -> None:
    classes = listing.classes
    counts = Counter((image.split, image.label) for image in images)
    if len(classes) < 2:
        got = f"only {shown(classes[0])}" if classes else "none"
        problems.add(
            [f"{listing.root}: at least two classes are needed, there is {got}"],
            "one folder a class, or path,label lines in a CSV" + _one_level_down(listing),
        )
    filled = {image.label for image in images}
    problems.add(
        [
            f"class {shown(label)}: no {'image in train' if label in filled else 'good image'}"
            for label in classes
            if not counts["train", label]
        ],
        "add images to these classes, or take them away",
    )
    splits = [split for split in SPLITS if any(image.split == split for image in images)]
    if images and listing.shares is None and "val" not in splits:
        problems.add(["no image in val"], "put some there, or let data.split decide")
    for split in splits:
        if split != "train":
            findings.warnings += [
                f"class {label}: no image in {split}, it can't be judged"
                for label in classes
                if not counts[split, label]
            ]
    train = {label: counts["train", label] for label in classes if counts["train", label]}
    findings.warnings += [
        f"class {label}: only {count} training images"
        for label, count in train.items()
        if count < TINY
    ]
    if train:
        most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
        findings.imbalance = round(train[most] / train[least], 3)
        if findings.imbalance > IMBALANCE:
            findings.warnings.append(
                f"heavy imbalance: {train[most]} training images of {most}, {train[least]} of "
                f"{least}; see finetune.class_weights"
            )
    by_lower = Counter(label.casefold() for label in classes)
    findings.warnings += [
        f"classes that differ in case only: {', '.join(c for c in classes if c.casefold() == low)}"
        for low, count in by_lower.items()
        if count > 1
    ]


def _one_level_down(listing: Listing) -> str:
    """A hint for archives and folders that hold the wanted folder."""
    if len(listing.classes) != 1 or not (listing.root / listing.classes[0]).is_dir():
        return ""
    inner = listing.root / listing.classes[0]
    below = [item.name for item in inner.iterdir() if item.is_dir()]
    return f"; {listing.classes[0]} has {len(below)} folders in it: name that one" * (
        len(below) > 1
    )
