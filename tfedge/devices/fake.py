"""A device for tests: commands are answered by a function, files are kept in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tfedge.devices.device import Busy, Done
from tfedge.devices.payload import pack
from tfedge.errors import DeviceError

Reply = Done | tuple[int, str, str] | str | DeviceError  # (exit code, stdout, stderr), or stdout


class FakeDevice:
    """``answer(argv)`` stands for the device. What was asked of it is in ``calls``, ``pushed``.

    An answer that is a DeviceError is raised, as is ``away`` on entering.
    """

    def __init__(
        self,
        answer: Callable[[tuple[str, ...]], Reply] = lambda argv: "",
        *,
        name: str = "fake",
        python: Sequence[str] = ("python3",),
        away: DeviceError | None = None,
    ) -> None:
        self.name = name
        self.python = tuple(python)
        self.answer = answer
        self.away = away
        self.calls: list[tuple[str, ...]] = []
        self.timeouts: list[float] = []
        self.pushed: list[Path] = []  # what was sent, in this order; not what was there already
        self.files: dict[str, bytes] = {}
        self.held = False

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        self._check()
        self.calls.append(tuple(argv))
        self.timeouts.append(timeout)
        reply = self.answer(tuple(argv))
        if isinstance(reply, DeviceError):
            raise reply
        if isinstance(reply, Done):
            return reply
        code, stdout, stderr = (0, reply, "") if isinstance(reply, str) else reply
        return Done(tuple(argv), code, stdout, stderr)

    def push(self, local: Path) -> str:
        self._check()
        payload = pack(local)
        root = f"/fake/{payload.digest}"
        files = {f"{root}/{there}": path for there, (path, _) in payload.files.items()}
        if any(there not in self.files for there in files):
            self.pushed.append(local)
            self.files |= {there: path.read_bytes() for there, path in files.items()}
        return f"{root}/{payload.name}"

    def pull(self, remote: str, local: Path) -> None:
        self._check()
        if remote not in self.files:
            raise DeviceError(f"{self.name}: {remote} can't be fetched: no such file")
        local.write_bytes(self.files[remote])

    def __enter__(self) -> FakeDevice:
        if self.away is not None:
            raise self.away
        if self.held:
            raise Busy(f"{self.name}: busy", "wait until it has ended")
        self.held = True
        return self

    def __exit__(self, *_: object) -> None:
        self.held = False

    def _check(self) -> None:
        if not self.held:
            raise RuntimeError(f"device {self.name} is used outside its with block")
