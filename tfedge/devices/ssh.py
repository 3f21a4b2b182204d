"""A board over plain ``ssh``: the user's own configuration, keys, agent and known hosts count.

One connection is opened and reused (ControlMaster). Its first session is the process that holds
the lock, so that connection and lock end together, whichever way this process ends.

Files go through the same ``ssh`` (a tar on stdin), not through ``scp``: that needs a second server
program on the board, which small ones lack, and does not tell a full disk apart from the rest.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tfedge.catalog.programs import SSH
from tfedge.devices.held import HeldDevice
from tfedge.devices.hold import Hold, hold_command
from tfedge.devices.ssh_faults import Target, connect_fault, lost_fault, session_fault
from tfedge.errors import DeviceError, MissingDependency

WORKSPACE = ".cache/tfedge-bench"  # in the home folder there

_CONNECT = 20  # seconds for TCP and the key exchange, each
_OPEN = 60.0  # seconds until the lock must be held
_ASKING = 300.0  # the same, where a person may be typing a password
_SOCKET = 60  # bytes; a socket's path has 104, and ssh appends 17 while it makes it
_SETTLE = 2.0  # seconds in which a lost connection shows in all processes that use it

# On top of the user's configuration. Host keys are not in it: what ssh does by itself, or what the
# user has configured, is what happens.
_OPTIONS = (
    f"ConnectTimeout={_CONNECT}",
    "ServerAliveInterval=5",  # a dead link ends the connection in 15 s
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",  # the user's forwards are for logging in, and may be taken already
    "RemoteCommand=none",
    "LogLevel=INFO",  # with QUIET there would be no reason to tell
)


class SshDevice(HeldDevice):
    """Options as in ``ssh``; what is left out is what the user's configuration says."""

    def __init__(
        self,
        host: str,
        *,
        user: str = "",
        port: int | None = None,
        name: str = "",
        python: Sequence[str] = ("python3",),
        config: Path | None = None,
        workspace: str = WORKSPACE,
    ) -> None:
        """
        Args:
            python: argv prefix of the interpreter; ``~/`` at its start is the home folder there.
            config: a configuration file instead of the user's own and the system's.
            workspace: folder there, in the home folder unless absolute.
        """
        destination = f"{user}@{host}" if user else host
        place = [*(["-p", str(port)] if port else []), destination]
        address = f"ssh://{destination}" + (f":{port}" if port else "")
        super().__init__(name or address, python, workspace)
        self._target = Target(self.name, host, port, ("ssh", *place))
        self._config = ["-F", str(config)] if config else []
        self._port = ["-p", str(port)] if port else []
        self._destination = destination

    def __enter__(self) -> SshDevice:
        if shutil.which("ssh") is None:
            raise MissingDependency(f"{self.name}: there is no ssh on this machine", SSH)
        self._folder = _private_folder()
        try:
            self._hold = self._connect()
        except BaseException:
            self._folder.cleanup()
            raise
        if self.python[0].startswith("~/"):
            self.python = (self._hold.home + self.python[0][1:], *self.python[1:])
        return self

    def _connect(self) -> Hold:
        asking = sys.stdin is not None and sys.stdin.isatty()
        return Hold(
            self.name,
            self._ssh(
                hold_command(self._workspace),
                "ControlMaster=yes",
                "ControlPersist=no",  # it ends with its session
                f"BatchMode={'no' if asking else 'yes'}",
            ),
            broken=lambda code, stderr: connect_fault(self._target, code, stderr),
            timeout=_ASKING if asking else _OPEN,
            log=self._inside("log"),
            way_in=self._target.login,
        )

    def _client(self, command: str) -> list[str]:
        # Without the shared connection ssh would make another one, past the lock: not with this
        # ProxyCommand, which only a connection of its own would use.
        return self._ssh(command, "ControlMaster=no", "BatchMode=yes", "ProxyCommand=false")

    def _ssh(self, command: str, *options: str) -> list[str]:
        settings = (*options, f"ControlPath={self._inside('ssh')}", *_OPTIONS)
        flags = [part for setting in settings for part in ("-o", setting)]
        return ["ssh", *self._config, "-T", *flags, *self._port, "--", self._destination, command]

    def _broken(self, code: int, stderr: str) -> DeviceError:
        assert self._hold is not None
        if self._hold.lost(_SETTLE):
            return lost_fault(self._target, f"{stderr}\n{self._hold.stderr_so_far()}")
        return session_fault(self._target, code, stderr)


def _private_folder() -> tempfile.TemporaryDirectory[str]:
    """For the socket of the shared connection, whose path may not be long."""
    usual = tempfile.gettempdir()
    short = usual if len(usual) + len("/tfedge-12345678/ssh") <= _SOCKET else "/tmp"  # noqa: S108
    return tempfile.TemporaryDirectory(prefix="tfedge-", dir=short)
