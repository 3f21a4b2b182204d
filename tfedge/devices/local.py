"""This machine: the running interpreter, or any other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tfedge.devices.device import Done
from tfedge.devices.hold import TOKEN, busy, process_label
from tfedge.devices.shell import Shell, tail
from tfedge.errors import DeviceError
from tfedge.files.files import try_lock

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
        self._lock: int | None = None

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
            os.close(self._lock)
            self._lock = None

    def _shell(self) -> Shell:
        if self._lock is None:
            raise RuntimeError(f"device {self.name} is used outside its with block")
        return Shell(self.name, lambda command: ("sh", "-c", command), self._broken, "")

    def _broken(self, code: int, stderr: str) -> DeviceError:
        return DeviceError(f"{self.name}: sh ended with {code}: {tail(stderr)}")

    def _take(self) -> int:
        """The lock, as :data:`tfedge.devices.scripts.HOLD` takes it, without a process of its own:
        there is no flock command on macOS."""
        path = self._workspace / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = try_lock(path, f"{TOKEN} {os.getpid()} {process_label()}")
            if lock is not None:
                return lock
            token, _, holder = path.read_text(encoding="utf-8").strip().partition(" ")
            if token == TOKEN:  # held by this process, through another interpreter
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError(
                f"{path}: can't be written: {error.strerror or error}",
                "make your home folder writable: benches of this machine take turns by that file",
            ) from error
        raise busy(self.name, holder)
