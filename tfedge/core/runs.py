"""Which runs there are below a folder, and how each stands: finished, at work, killed, broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfedge.core.progress import WARNING
from tfedge.core.result import SCHEMA
from tfedge.core.rundir import EVENTS, LOCK, RESOLVED, RESULT
from tfedge.errors import ArtifactError
from tfedge.files.artifact import parse_json, read_json
from tfedge.files.files import in_short, is_locked

RUNNING, KILLED, UNREADABLE = "running", "killed", "unreadable"
_EVENT = 64 * 1024  # bytes of an event, at most


@dataclass(frozen=True)
class FoundRun:
    """A run directory.

    ``status`` is that of ``run.json`` (ok, failed, gate failed, interrupted), or ``running``, or
    ``killed``: it has ended without one, or ``unreadable``: ``problem`` says why. ``began`` is None
    where nothing tells. ``result`` is run.json, empty where there is none that can be read.
    """

    directory: Path
    status: str
    began: datetime | None
    result: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: str = ""


def directories(folder: Path) -> list[Path]:
    """The run directories in a folder, or the one that it is. ArtifactError when the folder can't
    be read."""
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError as error:
        hint = "a run makes one: tfedge run FILE; or name the folder that has them"
        raise ArtifactError(folder, f"can't be read: {error.strerror}", hint) from error
    return [folder] if _is_run(folder) else [path for path in inside if _is_run(path)]


def find(folder: Path) -> list[FoundRun]:
    """The same runs with what they say of themselves, the oldest first. ArtifactError likewise."""
    found = map(look, directories(folder))
    return sorted(found, key=lambda run: (run.began or _LONG_AGO, run.directory))


_LONG_AGO = datetime.fromtimestamp(0, timezone.utc)


def _is_run(folder: Path) -> bool:
    return (folder / RESULT).is_file() or (
        (folder / LOCK).is_file() and (folder / RESOLVED).is_file()
    )


def look(directory: Path) -> FoundRun:
    """One run directory."""
    begun = began(directory)
    if not (directory / RESULT).is_file():
        status = RUNNING if is_locked(directory / LOCK) else KILLED
        return FoundRun(directory, status, begun)
    try:
        result = read_json(directory / RESULT)
        if not isinstance(result, dict) or result.get("schema") != SCHEMA:
            raise ArtifactError(directory / RESULT, f"its schema is not {SCHEMA}")
        return FoundRun(directory, str(result["status"]), begun, result)
    except (ArtifactError, KeyError) as error:
        return FoundRun(directory, UNREADABLE, begun, problem=in_short(error))


def told(directory: Path) -> list[str]:
    """The notes and warnings of a run, as people were told them."""
    found = []
    try:
        with (directory / EVENTS).open("rb") as file:
            while line := file.readline(_EVENT):
                event = parse_json(line)
                if event["event"] in ("note", "warning"):
                    found.append((WARNING if event["event"] == "warning" else "") + event["text"])
    except (OSError, ValueError, KeyError, TypeError):  # of an older tfedge, or not whole
        pass
    return found


def began(directory: Path) -> datetime | None:
    """When its first stage began, else when its pipeline was written down."""
    try:
        with (directory / EVENTS).open("rb") as file:
            seconds = parse_json(file.readline(_EVENT))["time"]
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        pass
    try:
        written = (directory / RESOLVED).stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(written, timezone.utc)
