"""The lock on a device: held by a small process there that ends with its stdin.

For ssh that process is also the one connection that all others share.
"""

from __future__ import annotations

import getpass
import os
import select
import shlex
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from tfedge.devices import scripts
from tfedge.devices.device import Busy
from tfedge.devices.shell import Broken, end, tail
from tfedge.errors import DeviceError

# Of this process. One board may stand in devices.yaml twice, say with two interpreters: this
# process does not stand in its own way.
TOKEN = uuid.uuid4().hex


def process_label() -> str:
    """This process, for the message that another one prints when the device is busy."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def hold_command(workspace: str) -> str:
    """The command line that takes the lock of a workspace (relative to the home folder there)."""
    return shlex.join(scripts.script(scripts.HOLD, workspace, TOKEN, process_label()))


def busy(name: str, holder: str, way_in: Sequence[str] = ()) -> Busy:
    """``holder``: its process id on the device, then who it is, as in the lock file."""
    process, _, person = holder.partition(" ")
    if not process.isdigit():
        return Busy(f"{name}: busy: another bench is running on it", "wait until it has ended")
    kill = shlex.join([*way_in, "kill", process])
    return Busy(
        f"{name}: busy: a bench of {person} is running on it",
        f"wait until it has ended; if it lost its connection and still blocks: {kill}",
    )


class Hold:
    """A device's lock, for as long as this object is not released and this process lives."""

    def __init__(
        self,
        name: str,
        client: Sequence[str],
        *,
        broken: Broken,
        timeout: float,
        log: Path,
        way_in: Sequence[str] = (),
    ) -> None:
        """Take it.

        Args:
            client: argv of the client process that runs :func:`hold_command` there.
            broken: what the client's own failure means, from its exit code and stderr.
            timeout: seconds to connect.
            log: a file for what the client says on stderr.
            way_in: what a person puts before a command to run it there: ``ssh pi4``.

        Raises:
            Busy: another process holds it.
            DeviceError: no connection, no workspace there, or a tool is missing there.
        """
        self._name, self._log, self._broken = name, log, broken
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
            )
        try:
            self.workspace, self.home = self._greeting(timeout, way_in)
        except BaseException:
            self.release()
            raise

    def _greeting(self, timeout: float, way_in: Sequence[str]) -> tuple[str, str]:
        """The workspace and the home folder there, once the lock is ours."""
        deadline = time.monotonic() + timeout
        text = b""
        while True:
            lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")[:-1]
            if scripts.READY in lines:
                said = lines[lines.index(scripts.READY) + 1 :]
                if len(said) >= 2:
                    return said[0], said[1]
            left = deadline - time.monotonic()
            assert self._process.stdout is not None
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise DeviceError(
                    f"{self._name}: no answer within {timeout:g} s",
                    "is it switched on, and on this network?",
                )
            more = os.read(self._process.stdout.fileno(), 4096)
            if not more:
                raise self._refused(lines, way_in)
            text += more

    def _refused(self, lines: list[str], way_in: Sequence[str]) -> DeviceError:
        code = end(self._process)
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == scripts.BUSY:
                return busy(self._name, rest, way_in)
            if word == scripts.LACKS:
                return DeviceError(
                    f"{self._name}: the command {rest!r} is missing there",
                    "install it there (coreutils, util-linux, tar; or BusyBox)",
                )
            if word == scripts.CLOSED:
                why = tail(self.stderr_so_far())
                return DeviceError(
                    f"{self._name}: {rest} can't be made or written there: {why}",
                    "free some space there, or let the account write to its home folder",
                )
        return self._broken(code, self.stderr_so_far())

    def stderr_so_far(self) -> str:
        """What the client has said on stderr so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def lost(self, wait: float = 0.0) -> bool:
        """Whether the client has ended, or does within ``wait`` seconds, and the lock with it."""
        try:
            self._process.wait(wait)
        except subprocess.TimeoutExpired:
            return False
        return True

    def release(self) -> None:
        """Give the lock back; the process there has ended when this returns, if it can be heard."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        end(self._process)
