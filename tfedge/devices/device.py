"""What every device can do: run a command, take files, give files, and be held by one bench."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tfedge.errors import DeviceError

_POLL = 1.0  # seconds between two tries to take a device that is busy
T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """A command that ended by itself, well or not."""

    argv: tuple[str, ...]
    returncode: int  # its exit code; 128 + N when signal N ended it, on every kind of device
    stdout: str
    stderr: str


class Busy(DeviceError):
    """Another process measures on this device."""


class Device(Protocol):
    """A place where benchmarks run. Use it as a context manager: the connection is opened and the
    device's lock taken on entering, both are given back on leaving."""

    name: str  # what the user wrote, or its name in devices.yaml
    python: tuple[str, ...]  # argv prefix of the interpreter there; final once entered

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        """Run a command there; nothing of it is left when this returns or raises.

        Its stdin is held open, with nothing to read, until it ends: end-of-file there means that
        this side has gone (``--attached`` of the device script).

        Args:
            timeout: seconds until the command is ended, with all that it started.

        Raises:
            DeviceError: refused, lost or timed out. A command's own exit code is no error.
        """
        ...

    def push(self, local: Path) -> str:
        """Bring a file, or a folder with all files below it, there; its path there.

        The place is made of its SHA-256. What is there already, with that SHA-256 as the device
        itself computes it, is not sent again; what was sent is checked in the same way.

        Raises:
            DeviceError: disk full, not writable, damaged on the way, connection lost. Nothing
                half-written stays.
        """
        ...

    def pull(self, remote: str, local: Path) -> None:
        """Fetch a file; ``local`` is written when all of it has come, and as the device has it.

        Raises:
            DeviceError: not there, not readable, connection lost.
        """
        ...

    def __enter__(self) -> Device:
        """DeviceError: can't be reached, or lacks a tool. Busy: another process holds it."""
        ...

    def __exit__(self, *_: object) -> None: ...


def patiently(take: Callable[[], T], wait: float) -> T:
    """Try to take a device that may be busy for up to ``wait`` seconds; Busy after that."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return take()
        except Busy:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_POLL)
