"""Make a drop: one way for all targets, so that each holds what every drop must hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfedge.drops import golden, manifest
from tfedge.drops.card import card
from tfedge.errors import DropError
from tfedge.tasks.drop import Content

_CHECK_SECONDS = 300


@dataclass(frozen=True)
class Layout:
    """What a target puts into a drop beside what every drop holds, and where.

    ``model`` is the file that is benchmarked, replayed and named in the manifest; ``files`` are by
    path relative to the drop, the model among them. ``facts`` are keys of the manifest that only
    this target has. ``check`` is a script of the drop, with its arguments, that replays the golden
    pairs on this machine; empty when it has none.
    """

    model: str
    files: Mapping[str, bytes]
    facts: Mapping[str, Any] = field(default_factory=dict)
    check: Sequence[str] = ()


@dataclass(frozen=True)
class Target:
    """A row of ``drops/targets.py``.

    ``check`` gets the drop's folder and the layout's ``check``, and raises DropError when the drop
    does not hold.
    """

    name: str
    layout: Callable[[Content], Layout]
    check: Callable[[Path, Sequence[str]], None]


@dataclass(frozen=True)
class Drop:
    path: Path
    files: int  # the manifest included
    bytes: int
    manifest_sha256: str


def make(content: Content, folder: Path, target: Target) -> Drop:
    """Make the drop in ``folder``, replacing what is there; nothing half-made is ever seen.

    Before it gets its name it is read back by digest, and has to pass its own check. DropError
    when something does not hold.
    """
    layout = target.layout(content)
    files = {**layout.files, "CARD.md": card(content).encode("utf-8")}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        golden.write(temporary, content.golden)
        built = manifest.build(content, target.name, layout.model, temporary, layout.facts)
        digest = manifest.write(temporary, built)
        facts = manifest.verify(temporary)
        target.check(temporary, layout.check)
        sizes = [path.stat().st_size for path in temporary.rglob("*") if path.is_file()]
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    except OSError as error:
        raise DropError(f"{folder}: can't be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Drop(folder, len(facts["files"]) + 1, sum(sizes), digest)


def replay(folder: Path, command: Sequence[str]) -> None:
    """Run a script of the drop in a process of its own, as a user would. DropError if it fails."""
    shown = " ".join(command)
    argv = [sys.executable, "-B", str(folder / command[0]), *command[1:]]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_CHECK_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DropError(f"{shown} gave no answer in {_CHECK_SECONDS} s") from error
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no message"]
        raise DropError(f"the drop does not pass its own {shown}: {lines[-1]}")
