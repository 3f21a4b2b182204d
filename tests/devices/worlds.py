"""The command line tools that devices have: Debian's, BusyBox's, Android's. Each is a PATH.

A :class:`World` is what ssh and adb are made of – the same scripts, lock and shell – with a plain
``sh -c`` in the place of the connection.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boards import require

from tfedge.devices import scripts
from tfedge.devices.hold import Hold, hold_command
from tfedge.devices.shell import Shell
from tfedge.errors import DeviceError


@dataclass(frozen=True)
class World:
    bin: Path  # all that its PATH has
    folder: Path
    login: str = "sh"  # the shell that reads the command line

    def client(self, command: str) -> list[str]:
        env = ["env", "-i", f"PATH={self.bin}", f"HOME={self.folder}/home"]
        return [*env, str(self.bin / self.login), "-c", command]

    def broken(self, code: int, stderr: str) -> DeviceError:
        return DeviceError(f"world: ended with {code}: {stderr}")

    @contextmanager
    def held(self) -> Iterator[Shell]:
        hold = Hold(
            "world",
            self.client(hold_command("work space")),
            broken=self.broken,
            timeout=20,
            log=self.folder / "log",
        )
        try:
            yield Shell("world", self.client, self.broken, hold.workspace)
        finally:
            hold.release()


def _links(bin: Path, names: dict[str, str]) -> None:
    for name, target in names.items():
        link = bin / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _debian(bin: Path, shell: str) -> None:
    tools = [
        *scripts.TOOLS,
        "df",
        "env",
        "find",
        "kill",
        "rmdir",
        "setsid",
        "sleep",
        "touch",
        "true",
    ]
    _links(bin, {tool: require(tool, "util-linux coreutils findutils tar") for tool in tools})
    _links(bin, {"sh": require(shell, shell)})


def _busybox(bin: Path) -> None:
    program = require("busybox", "busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    _links(bin, dict.fromkeys(listed.stdout.split(), program))
    _links(bin, {"flock": require("flock", "util-linux")})  # Debian builds its BusyBox without


def _android(bin: Path) -> None:
    """The shell of Android is mksh; nearly all else is toybox."""
    program = require("toybox", "toybox")
    listed = subprocess.run([program], capture_output=True, text=True, check=True)
    _links(bin, dict.fromkeys(listed.stdout.split(), program))
    _links(bin, {"sh": require("mksh", "mksh")})


def _bare(bin: Path) -> None:
    """No setsid: the command has no process group of its own."""
    _debian(bin, "dash")
    (bin / "setsid").unlink()


MAKERS: dict[str, Callable[[Path], None]] = {
    "dash": lambda bin: _debian(bin, "dash"),
    "bash": lambda bin: _debian(bin, "bash"),
    "busybox": _busybox,
    "android": _android,
    "bare": _bare,
}


def make(kind: str, folder: Path) -> World:
    """DeviceError never; skips visibly when this machine lacks what the world is made of."""
    (folder / "bin").mkdir()
    (folder / "home").mkdir()
    MAKERS[kind](folder / "bin")
    assert os.access(folder / "bin/sh", os.X_OK)
    return World(folder / "bin", folder)
