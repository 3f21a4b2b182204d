"""A phone or a board over plain ``adb``: the user's own client, server and keys.

As in :mod:`tfedge.devices.ssh` a first shell holds the lock and all others run beside it. Files go
through ``adb shell`` too: ``adb push`` compares nothing and leaves half a file behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence

from tfedge.catalog.programs import ADB
from tfedge.devices.adb_faults import (
    connect_fault,
    fault,
    lost_fault,
    none_attached,
    several_attached,
    state_fault,
)
from tfedge.devices.held import HeldDevice
from tfedge.devices.hold import Hold, hold_command
from tfedge.errors import DeviceError, MissingDependency

WORKSPACE = "/data/local/tmp/tfedge-bench"  # the one place where the shell may write and execute
# Of the app Termux. Its files are its own: this runs where the shell is root, and nowhere else.
TERMUX_PYTHON = "/data/data/com.termux/files/usr/bin/python3"

_DEFAULT = ("python3",)
_START = 30.0  # seconds for the adb server to start
_CONNECT = 20.0  # seconds for adb connect
_ASK = 20.0  # seconds for what the adb server answers by itself
_OPEN = 30.0  # seconds until the lock must be held
_TRY = 60.0  # seconds for an interpreter to start
_SETTLE = 2.0  # seconds in which a lost connection shows in all processes that use it
_READY = 10  # tries, half a second apart, for a device that was just connected
_NETWORK = re.compile(r".+:\d+")  # host:port, as serial
_UNSETTLED = ("offline", "connecting", "authorizing")


class AdbDevice(HeldDevice):
    """``serial`` as ``adb devices`` lists it, or ``host:port``, which is connected first. Empty:
    ``$ANDROID_SERIAL``, else the only device that is attached.

    A connection by ``host:port`` stays with the adb server, as ``adb connect`` leaves it.
    """

    def __init__(
        self,
        serial: str = "",
        *,
        name: str = "",
        python: Sequence[str] = _DEFAULT,
        workspace: str = WORKSPACE,
    ) -> None:
        """
        Args:
            python: argv prefix of the interpreter; ``~/`` at its start is the home folder there.
                With the default, Termux's is taken where ``python3`` is not there and that runs.
        """
        super().__init__(name or (f"adb:{serial}" if serial else "adb"), python, workspace)
        self.serial = serial  # final once entered

    def __enter__(self) -> AdbDevice:
        if shutil.which("adb") is None:
            raise MissingDependency(
                f"{self.name}: there is no adb on this machine",
                ADB,
            )
        self._folder = tempfile.TemporaryDirectory(prefix="tfedge-")
        try:
            self._start_server()
            self.serial = self._find()
            self._check_shell()
            self._hold = self._connect()
            self._choose_python()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_server(self) -> None:
        """Apart, and with files for what it prints: the server inherits them and lives on."""
        log = self._inside("server")
        try:
            with log.open("wb") as file:
                done = subprocess.run(
                    ["adb", "start-server"],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    timeout=_START,
                )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{self.name}: the adb server does not start within {_START:g} s",
                "adb kill-server, then try again",
            ) from error
        if done.returncode:
            raise fault(self.name, done.returncode, log.read_text("utf-8", "replace"))

    def _find(self) -> str:
        """The serial of a device that is ready."""
        serial = self.serial or os.environ.get("ANDROID_SERIAL", "")
        if not serial:
            return self._only()
        states = self._states()
        if _NETWORK.fullmatch(serial) and states.get(serial) != "device":
            said = self._adb("connect", serial, timeout=_CONNECT)
            if not re.search(r"^(already )?connected to ", said, re.M):  # it exits with 0 anyway
                raise connect_fault(self.name, serial, said)
            states = self._settled(serial)
        if serial not in states:
            raise none_attached(f"{self.name}: {serial} is not attached", states)
        if states[serial] != "device":
            raise state_fault(self.name, serial, states[serial])
        return serial

    def _only(self) -> str:
        states = self._states()
        ready = [serial for serial, state in states.items() if state == "device"]
        if len(ready) == 1:
            return ready[0]
        if len(states) > 1:
            raise several_attached(self.name, states)
        for serial, state in states.items():
            raise state_fault(self.name, serial, state)
        raise none_attached(f"{self.name}: no device is attached", states)

    def _states(self) -> dict[str, str]:
        """Serials and states: ``device`` is ready; ``offline``, ``unauthorized`` …"""
        listed = self._adb("devices", timeout=_ASK).replace("\r", "")
        pairs = re.findall(r"^(\S+)[ \t]+(\S.*)$", listed.partition("List of devices")[2], re.M)
        return {serial: state.strip() for serial, state in pairs if serial != "attached"}

    def _settled(self, serial: str) -> dict[str, str]:
        """The states once a device that was just connected has made up its mind."""
        for _ in range(_READY):
            states = self._states()
            if states.get(serial, "offline") not in _UNSETTLED:
                break
            time.sleep(0.5)
        return states

    def _check_shell(self) -> None:
        said = self._adb("-s", self.serial, "features", timeout=_ASK)
        if "shell_v2" not in said.split():
            raise DeviceError(
                f"{self.name}: its Android is older than 7: its shell tells no exit codes",
                "update the device, or run tools/bench_tflite.py on it by hand",
            )

    def _adb(self, *arguments: str, timeout: float) -> str:
        """What a short adb command prints."""
        try:
            done = subprocess.run(
                ["adb", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{self.name}: adb {arguments[0]} has no answer within {timeout:g} s",
                "is the device switched on, and on this network? If it is: adb kill-server",
            ) from error
        if done.returncode:
            raise fault(self.name, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def _connect(self) -> Hold:
        return Hold(
            self.name,
            self._words(hold_command(self._workspace)),
            broken=lambda code, stderr: fault(self.name, code, stderr),
            timeout=_OPEN,
            log=self._inside("log"),
            way_in=["adb", "-s", self.serial, "shell"],
        )

    def _choose_python(self) -> None:
        assert self._hold is not None
        if self.python[0].startswith("~/"):
            self.python = (self._hold.home.rstrip("/") + self.python[0][1:], *self.python[1:])
        if self.python == _DEFAULT and not self._runs(_DEFAULT) and self._runs([TERMUX_PYTHON]):
            self.python = (TERMUX_PYTHON,)

    def _runs(self, python: Sequence[str]) -> bool:
        return self.run([*python, "-c", "pass"], timeout=_TRY).returncode == 0

    def _client(self, command: str) -> list[str]:
        assert self._hold is not None
        if self._hold.lost():  # and the lock with it: nothing may run there any more
            raise lost_fault(self.name, self._hold.stderr_so_far())
        return self._words(command)

    def _words(self, command: str) -> list[str]:
        return ["adb", "-s", self.serial, "shell", "-T", command]

    def _broken(self, code: int, stderr: str) -> DeviceError:
        assert self._hold is not None
        if self._hold.lost(_SETTLE):
            return lost_fault(self.name, f"{self._hold.stderr_so_far()}\n{stderr}")
        return fault(self.name, code, stderr)
