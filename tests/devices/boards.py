"""Boards for the tests: a real sshd on loopback with keys and configuration of its own.

``with sshd(folder) as board:`` – sessions land on this machine, or wherever ``force`` (a
ForceCommand) or ``lines`` (of sshd_config, which win over those here) send them::

    with sshd(tmp_path, lines=[f"ChrootDirectory {root}"]) as board, board.device() as device:
        device.run(["uname", "-m"], timeout=10)

Nothing of the user's ssh is read or written: ``board.config`` is the whole client configuration,
and ``board.path`` is a folder for the front of ``PATH`` whose ``ssh`` uses it, for commands that
can't be told.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tfedge.devices.ssh import SshDevice

_SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin"
_DEADLINE = 20.0  # seconds; for what is waited for, never for what is measured


def require(program: str, package: str) -> str:
    """The path of a program, or a visible skip that says what would bring it."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if not found:
        pytest.skip(f"no {program} on this machine (apt-get install -y {package})")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Board:
    folder: Path
    port: int
    user: str
    home: Path  # HOME of its sessions, unless the options changed that
    daemon: int  # process id of sshd

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def path(self) -> Path:
        return self.folder / "bin"

    @property
    def address(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def device(self, **options: Any) -> SshDevice:
        given = {"port": self.port, "user": self.user, "config": self.config, "name": "board"}
        return SshDevice("127.0.0.1", **(given | options))

    def cut(self) -> None:
        """Kill every connection of this board, as a power cut of the network would."""
        for process in children(self.daemon):
            for session in (*children(process), process):
                if comm(session) in ("sshd", "sshd-session"):
                    kill(session)


@contextmanager
def sshd(
    folder: Path,
    *,
    port: int | None = None,
    lines: Sequence[str] = (),
    force: str | None = None,
    authorized: bool = True,
    enter: Callable[[list[str]], list[str]] = list,
) -> Iterator[Board]:
    """A running board in ``folder``. ``authorized`` False: it does not know the client's key.
    ``enter`` makes of sshd's argv one that starts it somewhere else, under the same process id."""
    program, keygen = require("sshd", "openssh-server"), require("ssh-keygen", "openssh-client")
    require("ssh", "openssh-client")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # as its init script does
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "home"
    home.mkdir()
    for key in ("host_key", "user_key"):
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", folder / key], check=True
        )
    user = pwd.getpwuid(os.getuid()).pw_name
    accepted = (folder / "user_key.pub").read_text() if authorized else ""
    (folder / "authorized_keys").write_text(accepted)
    settings = [
        *lines,
        *([f"ForceCommand {force}"] if force else []),
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f'HostKey "{folder}/host_key"',
        f'AuthorizedKeysFile "{folder}/authorized_keys"',
        f'SetEnv "HOME={home}"',
        "PidFile none",
        "UsePAM no",
        "StrictModes no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "LogLevel VERBOSE",
    ]
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    _client_files(folder, port)
    log = folder / "sshd.log"
    daemon = subprocess.Popen(
        enter([program, "-D", "-f", str(folder / "sshd_config"), "-E", str(log)]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_port(port, daemon, log)
        board = Board(folder, port, user, home, daemon.pid)
        yield board
        board.cut()
    finally:
        daemon.kill()
        daemon.wait()


def _client_files(folder: Path, port: int) -> None:
    public = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (folder / "ssh_config").write_text(
        f"""Host *
  IdentityFile "{folder}/user_key"
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile none
"""
    )
    (folder / "bin").mkdir()
    wrapper = folder / "bin/ssh"
    real = shlex.quote(str(shutil.which("ssh")))
    config = shlex.quote(str(folder / "ssh_config"))
    wrapper.write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    wrapper.chmod(0o755)


def _wait_for_port(port: int, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline and daemon.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"sshd does not start: {log.read_text() if log.exists() else 'no log'}")


def processes() -> dict[int, int]:
    """Process id → parent's, of all that run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:  # it has ended meanwhile
                continue
    return found


def children(parent: int) -> list[int]:
    return [process for process, its in processes().items() if its == parent]


def comm(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, 9)


def running(mark: str) -> list[int]:
    """Processes that have ``mark`` in their command line, this one left out."""
    found = []
    for process in processes():
        try:
            line = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in line and process != os.getpid():
            found.append(process)
    return found


def eventually(true: Any) -> bool:
    """Wait for something to come true; False when it does not for a long time."""
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False
