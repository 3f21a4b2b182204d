"""What adb says when it can't reach a device, and the way out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tfedge.devices.scripts import BEGIN
from tfedge.errors import DeviceError

_ALLOW = "unlock it and allow USB debugging for this computer on its screen, then try again"
_REPLUG = "unplug it and plug it in again (over the network: adb disconnect), then try again"
_SAME_ADB = "use one adb everywhere, say with Android Studio's platform-tools first in the PATH"
_LOST = "what ran there ends by itself; run the same command again"

# Looked for in this order.
_FAULTS = (
    (r"doesn't match this client", "another adb of another version is in use here", _SAME_ADB),
    (
        r"[Aa]ddress already in use|cannot connect to daemon|failed to start|server .*didn't ACK",
        "the adb server does not start",
        "adb kill-server, then try again; $ANDROID_ADB_SERVER_PORT names another port",
    ),
    (r"unauthorized|still authorizing|failed to authenticate", "not allowed", _ALLOW),
    (r"no permissions|insufficient permissions", "no permission for its USB port", ""),
    (r"device offline", "it is offline", _REPLUG),
    (
        r"device '.*' not found|no devices/emulators|device still connecting",
        "it is not attached any more",
        _REPLUG,
    ),
    (r"protocol fault|connection reset|error: closed|closed$", "the connection was lost", _LOST),
)
_CONNECT_FAULTS = (
    (r"failed to authenticate", "not allowed", _ALLOW),
    (
        r"refused",
        "connection refused",
        "switch on wireless debugging there, or adb tcpip 5555 while it is on USB; mind the port",
    ),
    (
        r"resolve|not known|getaddrinfo|No address",
        "no such host",
        "check the name, or give the address in numbers",
    ),
)
_RULES = (
    "apt install android-sdk-platform-tools-common (udev rules), join the group plugdev, and "
    "plug it in again"
)
_STATES = {
    "unauthorized": ("it does not allow this computer", _ALLOW),
    "authorizing": ("it waits for a person to allow this computer", _ALLOW),
    "offline": ("it is offline", _REPLUG),
    "connecting": ("it is still connecting", "try again"),
    "no permissions": ("this user may not use its USB port", _RULES),
}


def fault(name: str, code: int, stderr: str) -> DeviceError:
    """Why an adb command failed, or did not run to its end."""
    for pattern, message, hint in _FAULTS:
        if re.search(pattern, stderr, re.M):
            return DeviceError(f"{name}: {message}: {_reason(stderr)}", hint or _RULES)
    return DeviceError(
        f"{name}: a command was cut off there (adb ended with {code}): {_reason(stderr)}",
        "something ended it there, lack of memory perhaps; run the same command again",
    )


def connect_fault(name: str, serial: str, said: str) -> DeviceError:
    """``adb connect`` did not connect."""
    for pattern, message, hint in _CONNECT_FAULTS:
        if re.search(pattern, said):
            return DeviceError(f"{name}: {message}: {_reason(said)}", hint)
    return DeviceError(
        f"{name}: no connection to {serial}: {_reason(said)}",
        "is it switched on, and on this network? Since Android 11 it must be paired: adb pair",
    )


def lost_fault(name: str, stderr: str) -> DeviceError:
    """The connection was there and has gone."""
    if "doesn't match this client" in stderr:
        return fault(name, 1, stderr)
    return DeviceError(
        f"{name}: the connection was lost: {_reason(stderr)}",
        f"{_LOST}. If it is no cable: another adb (Android Studio's) may have restarted the server",
    )


def none_attached(message: str, states: Mapping[str, str]) -> DeviceError:
    listed = f"; attached: {_listed(states)}" if states else ""
    return DeviceError(
        f"{message}{listed}",
        "switch on USB debugging in its developer options and plug it in: adb devices must list it "
        "(only one adb server at a time can)",
    )


def several_attached(name: str, states: Mapping[str, str]) -> DeviceError:
    return DeviceError(
        f"{name}: {len(states)} devices are attached: {_listed(states)}",
        f"name one: adb:{next(iter(states))}, or in $ANDROID_SERIAL",
    )


def state_fault(name: str, serial: str, state: str) -> DeviceError:
    """A device is listed, but not as ready."""
    for known, (message, hint) in _STATES.items():
        if state.startswith(known):
            return DeviceError(f"{name}: {serial}: {message} ({state})", hint)
    return DeviceError(
        f"{name}: {serial} is in the state {state!r}", "start Android on it (adb reboot)"
    )


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{serial} ({state})" for serial, state in states.items())


def _reason(stderr: str) -> str:
    """The line that says why: adb's advice stands below it, what its server says above it."""
    lines = [line.strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line not in ("", BEGIN) and not line.startswith("* ")]
    blamed = [line for line in lines if re.match(r"(adb|error|failed|unable|cannot)\b", line)]
    return (blamed or lines[-1:] or ["it gave no reason"])[0]
