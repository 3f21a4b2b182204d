"""What ssh and adb share: one shell on the device holds the lock, others work beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tfedge.devices.device import Done
from tfedge.devices.hold import Hold
from tfedge.devices.shell import Shell
from tfedge.errors import DeviceError


class HeldDevice:
    """A device that is used through shells there while ``_hold`` holds its lock.

    ``_folder`` is a private one on this machine, for logs and sockets. Both are made by the
    ``__enter__`` of a kind of device, and end here.
    """

    def __init__(self, name: str, python: Sequence[str], workspace: str) -> None:
        self.name = name
        self.python = tuple(python)
        self._workspace = workspace
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._hold: Hold | None = None

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        return self._shell().run(argv, timeout=timeout)

    def push(self, local: Path) -> str:
        return self._shell().push(local)

    def pull(self, remote: str, local: Path) -> None:
        self._shell().pull(remote, local)

    def __exit__(self, *_: object) -> None:
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        if self._folder is not None:
            self._folder.cleanup()

    def _inside(self, file: str) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / file

    def _shell(self) -> Shell:
        if self._hold is None:
            raise RuntimeError(f"device {self.name} is used outside its with block")
        return Shell(self.name, self._client, self._broken, self._hold.workspace)

    def _client(self, command: str) -> list[str]:
        """The argv, on this machine, that runs a command of the device's shell."""
        raise NotImplementedError

    def _broken(self, code: int, stderr: str) -> DeviceError:
        """Why a client program ended with that code."""
        raise NotImplementedError
