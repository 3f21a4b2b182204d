"""Addresses of devices: what is one, what is none, and what was meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tfedge.devices.address import Address, open_device, parse
from tfedge.errors import DeviceError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", {"kind": "local"}),
        ("local:/opt/a b/bin/python", {"kind": "local", "python": "/opt/a b/bin/python"}),
        ("ssh://pi@board", {"kind": "ssh", "user": "pi", "host": "board"}),
        ("ssh://pi@board:2222", {"kind": "ssh", "user": "pi", "host": "board", "port": 2222}),
        ("ssh://pi@board/", {"kind": "ssh", "user": "pi", "host": "board"}),
        ("ssh://Board_2", {"kind": "ssh", "host": "Board_2"}),  # an alias may have capitals
        ("ssh://me@192.168.1.7", {"kind": "ssh", "user": "me", "host": "192.168.1.7"}),
        ("ssh://me@[fe80::1]:22", {"kind": "ssh", "user": "me", "host": "fe80::1", "port": 22}),
        ("adb", {"kind": "adb"}),
        ("adb:R58M123ABC", {"kind": "adb", "serial": "R58M123ABC"}),
        ("adb:192.168.1.9:5555", {"kind": "adb", "serial": "192.168.1.9:5555"}),
    ],
)
def test_read(text: str, expected: dict) -> None:
    assert parse(text) == Address(text=text, **expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pi@board", "did you mean ssh://pi@board?"),
        ("ssh:pi@board:2222", "did you mean ssh://pi@board:2222?"),
        ("loca", "did you mean local?"),
        ("abd", "did you mean adb?"),
        ("pi5", "did you mean pi4?"),
        ("local:", "not known"),
        ("local:--version", "is an option, not a Python interpreter"),
        ("docker:--privileged", "not known"),
        ("adb:", "not known"),
        ("adb:-s", "not known"),
        ("adb:x; reboot", "not known"),
        ("", "not known"),
        ("http://board", "not known"),
        ("ssh://", "not a host name"),
        ("ssh://-oProxyCommand=reboot", "not a host name"),
        ("ssh://pi@-oProxyCommand=reboot", "not a host name"),
        ("ssh://pi@a b", "not a host name"),
        ("ssh://-l@board", "not a user name"),
        ("ssh://$(reboot)@board", "not a user name"),
        ("ssh://@board", "not a user name"),
        ("ssh://pi:raspberry@board", "a password does not belong in an address"),
        ("ssh://pi@board:ssh", "ort"),  # Python's own words
        ("ssh://pi@board:70000", "ort"),
        ("ssh://pi@board:0", "port 0"),
        ("ssh://pi@board/home/pi", "something stands behind the host"),
        ("ssh://pi@[::1", "IPv6"),
    ],
)
def test_not_an_address(text: str, says: str) -> None:
    with pytest.raises(DeviceError) as caught:
        parse(text, ["pi4", "coral"])
    # A password that is written there all the same is not shown.
    shown = text.replace("raspberry", "***")
    assert caught.value.message.startswith(f"device {shown!r}")
    assert says in caught.value.message
    assert caught.value.hint
    if "not known" in caught.value.message:
        assert "(pi4, coral)" in caught.value.hint and "ssh://user@host[:port]" in caught.value.hint


def test_opened_devices_are_told_all_of_it() -> None:
    board = open_device("ssh://pi@board:2222", name="pi4", python=["/venv/bin/python", "-X", "dev"])
    assert (board.name, board.python) == ("pi4", ("/venv/bin/python", "-X", "dev"))
    assert open_device("ssh://pi@board").python == ("python3",)
    assert open_device("adb:R58M").name == "adb:R58M"
    assert open_device("local").python == (sys.executable,)
    assert open_device("local:/some/python", name="venv").python == ("/some/python",)
    assert open_device(parse("local")).name == "local"
    with pytest.raises(DeviceError, match="two interpreters: /a and b"):
        open_device("local:/a", python=["b"])


def test_no_device_module_is_imported_for_reading_an_address() -> None:
    import subprocess

    code = "import sys, tfedge.devices.address; print([m for m in sys.modules if 'ssh' in m])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
