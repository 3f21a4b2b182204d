"""Where a device is: ``local``, ``local:PYTHON``, ``ssh://user@host[:port]``, ``adb[:SERIAL]``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from tfedge.config.spelling import closest
from tfedge.devices.device import Device
from tfedge.errors import DeviceError

FORMS = ("local", "local:PYTHON", "ssh://user@host[:port]", "adb", "adb:SERIAL")

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+(?:%[\w.-]+)?")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+-]*\$?")
_SERIAL = re.compile(r"[A-Za-z0-9_.:\[\]%-]+")


@dataclass(frozen=True)
class Address:
    text: str  # as written
    kind: Literal["local", "ssh", "adb"]
    python: str = ""  # of local:PYTHON
    user: str = ""  # of ssh; empty: as the ssh configuration says
    host: str = ""
    port: int | None = None
    serial: str = ""  # of adb; empty: the only one that is attached


def parse(text: str, names: Iterable[str] = ()) -> Address:
    """Read an address; ``names`` are those of devices.yaml, for the suggestions only.

    DeviceError when it is none, with what may have been meant.
    """
    if text == "local":
        return Address(text, "local")
    if text == "adb":
        return Address(text, "adb")
    scheme, _, rest = text.partition(":")
    if scheme == "local" and rest.startswith("-"):
        raise DeviceError(
            f"device {text!r}: {rest!r} is an option, not a Python interpreter",
            "write local:PYTHON, as in local:/usr/bin/python3",
        )
    if scheme == "local" and rest:
        return Address(text, "local", python=rest)
    if scheme == "adb" and _SERIAL.fullmatch(rest) and not rest.startswith("-"):
        return Address(text, "adb", serial=rest)
    if scheme == "ssh" and rest.startswith("//"):
        return _ssh(text)
    known = list(names)
    declared = f" ({', '.join(known)})" if known else ""
    raise DeviceError(
        f"device {text!r} is not known{_suggestion(text, known)}",
        f"allowed: {', '.join(FORMS)}, or a name in devices.yaml{declared}",
    )


def _ssh(text: str) -> Address:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _wrong(text, str(error)) from error
    if parts.password is not None:
        raise _wrong(text, "a password does not belong in an address", "use a key: ssh-copy-id")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise _wrong(text, "something stands behind the host")
    user, host = parts.username or "", _host(parts)
    if not _HOST.fullmatch(host):
        raise _wrong(text, f"{host!r} is not a host name")
    if "@" in parts.netloc and not _USER.fullmatch(user):
        raise _wrong(text, f"{user!r} is not a user name")
    if port == 0:
        raise _wrong(text, "port 0")
    return Address(text, "ssh", user=user, host=host, port=port)


def _host(parts: SplitResult) -> str:
    """As written: ``urlsplit`` gives it in lower case, which an alias in ssh_config may not be."""
    host = parts.hostname or ""
    at = parts.netloc.lower().rfind(host)
    return parts.netloc[at : at + len(host)]


def _wrong(text: str, why: str, hint: str = "") -> DeviceError:
    return DeviceError(f"device {text!r}: {why}", hint or "write ssh://user@host or …@host:port")


def _suggestion(text: str, names: Iterable[str]) -> str:
    if re.fullmatch(r"(ssh:/?)?[^\s@:/]+@[^\s@:/]+(:\d+)?", text):
        return f", did you mean ssh://{text.removeprefix('ssh:').lstrip('/')}?"
    near = closest(text, [*names, "local", "adb"])
    return f", did you mean {near}?" if near else ""


def open_device(
    address: str | Address,
    *,
    name: str = "",
    python: Sequence[str] | None = None,
) -> Device:
    """The device at an address, not entered yet: nothing is connected, nothing is held.

    Args:
        name: what it is called in messages and results; the address as written by default.
        python: argv prefix of the interpreter there, for ``ssh`` and ``adb``; ``python3`` by
            default. A leading ``~/`` stands for the home folder there.

    Raises:
        DeviceError: not an address, or ``local:PYTHON`` together with ``python``.
    """
    where = parse(address) if isinstance(address, str) else address
    label = name or where.text
    if where.kind == "local":
        from tfedge.devices.local import LocalDevice

        if where.python and python:
            raise DeviceError(
                f"device {label}: two interpreters: {where.python} and {' '.join(python)}",
                "give one of them",
            )
        chosen = tuple(python or ()) or (where.python or sys.executable,)
        return LocalDevice(label, python=chosen)
    if where.kind == "adb":
        from tfedge.devices.adb import AdbDevice

        return AdbDevice(where.serial, name=label, python=tuple(python or ("python3",)))
    from tfedge.devices.ssh import SshDevice

    words = tuple(python or ("python3",))
    return SshDevice(where.host, user=where.user, port=where.port, name=label, python=words)
