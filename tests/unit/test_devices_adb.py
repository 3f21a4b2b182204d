"""The adb device with a program in adb's place that says what adb says when things go wrong.

What works is tested with a real adbd: tests/devices/test_adb.py.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tfedge.devices.adb import AdbDevice
from tfedge.devices.adb_faults import fault
from tfedge.errors import DeviceError, MissingDependency

FEATURES = "shell_v2\ncmd\nstat_v2\n"
Answers = Callable[..., None]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """``answers(devices="…")``: what adb prints for a command, or (exit code, stdout, stderr).

    Its shell is this machine's.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)

    def write(**given: str | tuple[int, str, str]) -> None:
        lines = ["#!/bin/sh", 'if [ "$1" = -s ]; then serial=$2; shift 2; fi', 'case "$1" in']
        for command, answer in {"start_server": "", "features": FEATURES, **given}.items():
            code, out, err = (0, answer, "") if isinstance(answer, str) else answer
            words = f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; exit {code}"
            lines.append(f"{command.replace('_', '-')}) {words} ;;")
        lines += ['shell) shift 2; exec sh -c "$*" ;;', "*) exit 99 ;;", "esac"]
        (folder / "adb").write_text("\n".join(lines))
        (folder / "adb").chmod(0o755)

    return write


def listed(*devices: str) -> str:
    return "List of devices attached\n" + "".join(f"{device}\n" for device in devices) + "\n"


def refused(serial: str = "", **options: object) -> DeviceError:
    with pytest.raises(DeviceError) as caught, AdbDevice(serial, **options):  # type: ignore[arg-type]
        pass
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def entered(tmp_path: Path, serial: str = "", **options: object) -> AdbDevice:
    device = AdbDevice(serial, workspace=str(tmp_path / "work"), **options)  # type: ignore[arg-type]
    with device:
        assert device.run(["echo", "a  b"], timeout=10).stdout == "a  b\n"
    return device


def test_no_adb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="no adb") as caught, AdbDevice():
        pass
    assert "apt install adb" in caught.value.hint


def test_the_only_device_is_taken(answers: Answers, tmp_path: Path) -> None:
    answers(devices=listed("0123ABC\tdevice"))
    assert entered(tmp_path).serial == "0123ABC"


def test_of_several_only_one_may_be_ready(answers: Answers, tmp_path: Path) -> None:
    answers(devices=listed("emulator-5554\toffline", "0123ABC\tdevice", "XYZ\tunauthorized"))
    assert entered(tmp_path).serial == "0123ABC"


def test_android_serial_counts(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(devices=listed("A1\tdevice", "B2\tdevice"))
    monkeypatch.setenv("ANDROID_SERIAL", "B2")
    assert entered(tmp_path).serial == "B2"
    assert entered(tmp_path, "A1").serial == "A1"


def test_several_devices(answers: Answers) -> None:
    answers(devices=listed("A1\tdevice", "B2\tdevice"))
    error = refused()
    assert "2 devices are attached: A1 (device), B2 (device)" in error.message
    assert "adb:A1" in error.hint


def test_no_device(answers: Answers) -> None:
    answers(devices=listed())
    assert "no device is attached" in refused().message
    answers(devices=listed("A1\tdevice"))
    assert "B2 is not attached; attached: A1 (device)" in refused("B2").message


@pytest.mark.parametrize(
    ("state", "message", "hint"),
    [
        ("unauthorized", "does not allow this computer", "allow USB debugging"),
        ("authorizing", "waits for a person", "allow USB debugging"),
        ("offline", "it is offline", "plug it in again"),
        (
            "no permissions (user in plugdev group; are your udev rules wrong?); see [url]",
            "may not use its USB port",
            "udev rules",
        ),
        ("bootloader", "in the state 'bootloader'", "adb reboot"),
        ("recovery", "in the state 'recovery'", "adb reboot"),
    ],
)
def test_not_ready(answers: Answers, state: str, message: str, hint: str) -> None:
    answers(devices=listed(f"A1\t{state}"))
    for error in (refused(), refused("A1")):
        assert message in error.message and "A1" in error.message
        assert hint in error.hint


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("failed to authenticate to 10.0.0.2:5555", "not allowed", "allow USB debugging"),
        ("failed to connect to '10.0.0.2:5555': Connection refused", "refused", "wireless"),
        ("failed to resolve host: 'nowhere': Name or service not known", "no such host", "name"),
        ("failed to connect to 10.0.0.2:5555", "no connection to 10.0.0.2:5555", "adb pair"),
    ],
)
def test_connect_says_no_but_exits_with_0(
    answers: Answers, said: str, message: str, hint: str
) -> None:
    answers(devices=listed(), connect=said)
    error = refused("10.0.0.2:5555")
    assert message in error.message and said in error.message
    assert hint in error.hint


def test_connected_but_never_ready(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfedge.devices.adb._READY", 1)
    answers(devices=listed("10.0.0.2:5555\toffline"), connect="already connected to 10.0.0.2:5555")
    assert "it is offline" in refused("10.0.0.2:5555").message


def test_a_shell_without_exit_codes(answers: Answers) -> None:
    answers(devices=listed("A1\tdevice"), features="cmd\n")
    assert "older than 7" in refused().message


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "adb server version (32) doesn't match this client (41); killing...\n"
            "* failed to start daemon\nerror: cannot connect to daemon",
            "another adb of another version",
            "one adb everywhere",
        ),
        (
            "* daemon not running; starting now at tcp:5037\nADB server didn't ACK\n"
            "* failed to start daemon\nerror: cannot connect to daemon",
            "the adb server does not start: error: cannot connect to daemon",
            "adb kill-server",
        ),
        (
            "error: could not install *smartsocket* listener: Address already in use",
            "the adb server does not start",
            "ANDROID_ADB_SERVER_PORT",
        ),
    ],
)
def test_the_server_does_not_start(answers: Answers, said: str, message: str, hint: str) -> None:
    answers(start_server=(1, "", said))
    error = refused()
    assert message in error.message
    assert hint in error.hint


UNAUTHORIZED = """adb: device unauthorized.
This adb server's $ADB_VENDOR_KEYS is not set
Try 'adb kill-server' if that seems wrong.
Otherwise check for a confirmation dialog on your device.
"""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (UNAUTHORIZED, "not allowed: adb: device unauthorized."),
        ("adb: device offline", "it is offline"),
        ("adb: device 'A1' not found", "not attached any more"),
        ("error: no devices/emulators found", "not attached any more"),
        ("error: protocol fault (couldn't read status): Success", "the connection was lost"),
        ("error: closed", "the connection was lost"),
        ("tfedge-begin\n", "ended with 1): it gave no reason"),
        ("tfedge-begin\nKilled\n", "ended with 1): Killed"),
    ],
)
def test_what_adb_says(said: str, message: str) -> None:
    error = fault("phone", 1, said)
    assert error.message.startswith("phone: ") and message in error.message
    assert error.hint


def test_no_answer_of_the_server(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfedge.devices.adb._ASK", 0.2)
    monkeypatch.setattr("tfedge.devices.adb._START", 0.2)
    program = tmp_path / "bin/adb"
    program.write_text('#!/bin/sh\n[ "$1" = start-server ] || exec sleep 60\n')
    program.chmod(0o755)
    assert "adb devices has no answer" in refused().message
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    assert "the adb server does not start" in refused().message


@pytest.mark.parametrize(("found", "python"), [("python3", "python3"), ("termux", "termux")])
def test_which_python(
    answers: Answers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: str,
    python: str,
) -> None:
    """Termux's, where that runs and python3 does not: a phone whose shell is root."""
    monkeypatch.setattr("tfedge.devices.adb.TERMUX_PYTHON", str(tmp_path / "termux"))
    monkeypatch.setattr("tfedge.devices.adb._DEFAULT", (str(tmp_path / "python3"),))
    answers(devices=listed("A1\tdevice"))
    (tmp_path / found).symlink_to("/bin/true")
    device = entered(tmp_path, python=(str(tmp_path / "python3"),))
    assert device.python == (str(tmp_path / python),)


def test_a_configured_python_stays(answers: Answers, tmp_path: Path) -> None:
    answers(devices=listed("A1\tdevice"))
    assert entered(tmp_path, python=("~/no/python", "-X")).python[0].endswith("/no/python")
    assert entered(tmp_path, python=("/no/python",)).python == ("/no/python",)
