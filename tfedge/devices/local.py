"""This machine: the running interpreter, or any other."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tfedge.devices.device import Done
from tfedge.devices.hold import TOKEN, busy, who
from tfedge.devices.shell import Shell, tail
from tfedge.errors import DeviceError

WORKSPACE = Path(".cache/tfedge-bench")  # in the home folder, as for an account reached by ssh


class LocalDevice:
    """Nothing is copied: a file is measured where it lies."""

    def __init__(
        self,
        name: str = "local",
        *,
        python: Sequence[str],
        workspace: Path | None = None,
    ) -> None:
        """``python``: argv prefix of the interpreter."""
        self.name = name
        self.python = tuple(python)
        self._workspace = workspace or Path.home() / WORKSPACE
        self._lock: IO[str] | None = None

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        return self._shell().run(argv, timeout=timeout)

    def push(self, local: Path) -> str:
        self._shell()
        if not local.exists():
            raise DeviceError(f"{self.name}: {local}: no such file")
        return str(local.resolve())

    def pull(self, remote: str, local: Path) -> None:
        self._shell().pull(remote, local)

    def __enter__(self) -> LocalDevice:
        first = str(Path(self.python[0]).expanduser())
        found = shutil.which(first)
        if found is None:
            raise DeviceError(
                f"{self.name}: no interpreter at {self.python[0]}",
                "give one that can be run: local:/path/to/venv/bin/python",
            )
        # absolute(), not resolve(): a venv's python is a link, and what it links to knows no venv
        self.python = (str(Path(found).absolute()), *self.python[1:])
        self._lock = self._take()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _shell(self) -> Shell:
        if self._lock is None:
            raise RuntimeError(f"device {self.name} is used outside its with block")
        return Shell(self.name, lambda command: ("sh", "-c", command), self._broken, "")

    def _broken(self, code: int, stderr: str) -> DeviceError:
        return DeviceError(f"{self.name}: sh ended with {code}: {tail(stderr)}")

    def _take(self) -> IO[str]:
        """The lock, as :data:`tfedge.devices.scripts.HOLD` takes it, without a process of its own:
        there is no flock command on macOS."""
        path = self._workspace / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise DeviceError(
                f"{path}: can't be written: {error.strerror or error}",
                "make your home folder writable: benches of this machine take turns by that file",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            token, _, holder = file.readline().strip().partition(" ")
            if token == TOKEN:
                return file
            file.close()
            raise busy(self.name, holder) from error
        file.truncate(0)
        file.write(f"{TOKEN} {os.getpid()} {who()}\n")
        file.flush()
        return file
