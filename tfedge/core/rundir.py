"""The run directory: one place with everything that a run was given, did and found.

``runs/<pipeline>-<utc>-<key8>/`` holds ``pipeline.yaml`` as it was given, ``resolved.json``,
``lock``, ``events.jsonl``, a folder a stage (outputs, ``stage.json``, ``log.txt``), the report, the
drops, and ``run.json``, the result. ``runs/latest`` points to the newest.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfedge.core.cache import RECORD, Entry
from tfedge.errors import ArtifactError
from tfedge.files.artifact import TEMPORARY, sha256_json, write_atomic, write_json, write_text
from tfedge.files.files import holder_of, try_lock

LOCK, EVENTS, RESULT, LOG = "lock", "events.jsonl", "run.json", "log.txt"
PIPELINE, RESOLVED, REPORT = "pipeline.yaml", "resolved.json", "report.md"
PAGE = "report.html"
DROPS = "drops"
LATEST = "latest"  # in a folder of runs a link to the newest
RESERVE = ".reserve"  # space for run.json, so that a run that a full disk stops can still say so
_RESERVED = 64 * 1024  # bytes
_MOMENT = 60  # seconds, in which a run that lives has long pointed runs/latest to it
_FIRST = {LOCK, DROPS, PIPELINE, RESOLVED, EVENTS, RESULT, RESERVE}  # what a run begins with


class RunDir:
    """A locked run directory. Use as a context manager: leaving it releases the lock."""

    def __init__(self, path: Path) -> None:
        """Lock an existing folder; ArtifactError when another run is in it."""
        self.path = path.resolve()
        handle = try_lock(path / LOCK)
        if handle is None:
            what = f"another run is in this directory ({holder_of(path / LOCK)})"
            raise ArtifactError(path, what, "wait until it ends, or give another --run-dir")
        self._lock = handle

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def write_inputs(self, text: str, resolved: dict[str, Any]) -> None:
        """Keep the pipeline file as it was given, and what it came to with all defaults."""
        write_text(self.path / PIPELINE, text)
        write_json(self.path / RESOLVED, resolved)
        write_atomic(self.path / RESERVE, bytes(_RESERVED))

    def write_result(self, result: dict[str, Any]) -> None:
        """``run.json``: the run has ended, and this is how. It may take the space that was kept for
        it."""
        (self.path / RESERVE).unlink(missing_ok=True)
        write_json(self.path / RESULT, result)

    def stage(self, name: str) -> Path:
        """A stage's folder, made when it is not there."""
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder

    def link(self, entry: Entry, cache: str) -> None:
        """Put a sealed entry's files into its stage's folder: as hard links, else as copies."""
        folder = self.stage(entry.record["name"])
        for name in entry.record["outputs"]:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # a copy would go through a hard link into the cache
            try:
                os.link(entry.file(name), target)
            except OSError:  # another disk, or one without hard links
                shutil.copyfile(entry.file(name), target)
        write_json(folder / RECORD, {**entry.record, "cache": cache})

    def take(self, filled: Path, record: dict[str, Any]) -> Entry:
        """Move the outputs of a stage that is never cached into its folder."""
        folder = self.stage(record["name"])
        for name in record["outputs"]:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(filled / name, target)
        write_json(folder / RECORD, {**record, "cache": "none"})
        return Entry(folder, record)


def create(runs: Path, pipeline: str, resolved: dict[str, Any]) -> RunDir:
    """A new run directory below ``runs``, which ``runs/latest`` points to from now on."""
    runs.mkdir(parents=True, exist_ok=True)
    utc = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    stem = f"{pipeline}-{utc}-{sha256_json(resolved)[:8]}"
    number = 1
    while True:
        path = runs / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir()
            break
        except FileExistsError:  # a second run within this second
            number += 1
    run = RunDir(path)
    _link_drops(path)
    _point_latest(runs, path.name)
    return run


def reuse(path: Path, stages: Iterable[str]) -> RunDir:
    """The run directory at ``path``, made when it is not there, without what a run left in it.

    ArtifactError when another run is in it, or when it holds something else than a run.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not _is_ours({item.name for item in path.iterdir()}):
        hint = "give an empty or a new folder, or that of an earlier run"
        raise ArtifactError(path, "is not empty, and no run directory", hint)
    run = RunDir(path)
    for name in stages:
        if (path / name).is_symlink():
            (path / name).unlink()
        shutil.rmtree(path / name, ignore_errors=True)
    for name in (RESULT, EVENTS, REPORT, PAGE, RESERVE):
        (path / name).unlink(missing_ok=True)
    for left in path.glob(f".*{TEMPORARY}"):
        left.unlink(missing_ok=True)
    _link_drops(path)
    return run


def _is_ours(names: set[str]) -> bool:
    """Whether a folder holds a run, however early that was stopped, or nothing."""
    begun = {name for name in names if not (name.startswith(".") and name.endswith(TEMPORARY))}
    return (begun <= _FIRST and (LOCK in begun or not begun)) or {LOCK, RESOLVED} <= names


def _link_drops(run: Path) -> None:
    """``drops``, which people look for, is where the package stage puts them."""
    with suppress(FileExistsError):
        (run / DROPS).symlink_to(Path("package") / DROPS, target_is_directory=True)


def _point_latest(runs: Path, name: str) -> None:
    """Let ``runs/latest`` point to the run, in one step: nobody finds it missing."""
    fresh = runs / f".latest-{os.getpid()}"
    for left in runs.glob(".latest-*"):  # of runs that were killed between the two lines below
        with suppress(OSError):
            if left == fresh or time.time() - left.lstat().st_mtime > _MOMENT:
                left.unlink()
    fresh.symlink_to(name, target_is_directory=True)
    try:
        fresh.replace(runs / LATEST)
    except IsADirectoryError:
        fresh.unlink()
        what = "is a folder, but must be the link to the newest run"
        raise ArtifactError(runs / LATEST, what, "rename the folder") from None
