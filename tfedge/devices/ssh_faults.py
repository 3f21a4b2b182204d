"""What ssh says on stderr when there is no connection, and the way out of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tfedge.devices.shell import tail
from tfedge.errors import DeviceError


@dataclass(frozen=True)
class Target:
    """Whom ssh was to reach: for the messages."""

    name: str
    host: str
    port: int | None
    login: tuple[str, ...]  # what a person types to get there: ssh -p 2222 pi@board

    @property
    def known_as(self) -> str:
        """The host's name in known_hosts."""
        return self.host if self.port in (None, 22) else f"[{self.host}]:{self.port}"

    def typed(self, *more: str) -> str:
        return shlex.join([*self.login, *more])


# Looked for in this order. In the hints: {ssh} logs in, {copy} copies the key, {known} is the
# host's name in known_hosts.
_FAULTS = (
    (
        r"HOST IDENTIFICATION HAS CHANGED",
        "the host key has changed{where}",
        "if the board was set up anew, ssh-keygen -R {known}, then {ssh} once and compare the "
        "fingerprint; if it was not, someone may be answering in its place",
    ),
    (
        r"Host key verification failed|host key is known for",
        "its host key is not known here",
        "{ssh} once, and compare the fingerprint with the board's: "
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there",
    ),
    (
        r"Permission denied|Too many authentication failures|UNPROTECTED PRIVATE KEY",
        "permission denied{methods}",
        "give it your key: {copy}; a password is asked for at a terminal only. "
        "{verbose} shows which keys were tried",
    ),
    (
        r"Connection refused",
        "connection refused",
        "is sshd running there, on this port? On a Raspberry Pi: sudo systemctl enable --now ssh",
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        "no such host",
        "check the name, or give the address in numbers; ~/.ssh/config can give it a name",
    ),
    (
        r"timed out|No route to host|Network is unreachable|Host is down",
        "it does not answer",
        "is it switched on, and on this network? {ssh}",
    ),
    (
        r"Unable to negotiate|no matching .* found",
        "ssh and the board have no algorithm in common",
        "update the board's sshd; the reason stands in {verbose}",
    ),
    (
        r"[Bb]ad configuration option|Bad owner or permissions|Can't open user config",
        "the ssh configuration can't be used",
        "correct it; {ssh} says the same",
    ),
)


def connect_fault(target: Target, code: int, stderr: str) -> DeviceError:
    """Why there is no connection. ``code`` other than 255: ssh connected, the far side refused."""
    reason = tail(stderr)
    if code not in (255, -9):
        return DeviceError(
            f"{target.name}: logged in, but no command can be run there ({code}): {reason}",
            f"the account must be one with a shell: {target.typed('true')}",
        )
    words = {
        "ssh": target.typed(),
        "verbose": shlex.join([target.login[0], "-v", *target.login[1:]]),
        "copy": shlex.join(["ssh-copy-id", *target.login[1:]]),
        "known": shlex.quote(target.known_as),
        "where": _matched_text(r"Offending .*key in (.+:\d+)", stderr),
        "methods": _matched_text(r"Permission denied \(([^)]*)\)", stderr),
    }
    for pattern, message, hint in _FAULTS:
        if re.search(pattern, stderr):
            text = f"{target.name}: {message.format(**words)}"
            return DeviceError(f"{text}: {reason}", hint.format(**words))
    return DeviceError(f"{target.name}: no connection: {reason}", f"does {words['ssh']} work?")


def lost_fault(target: Target, stderr: str) -> DeviceError:
    """The connection was there and has gone."""
    return DeviceError(
        f"{target.name}: the connection was lost: {tail(stderr)}",
        "what ran there ends by itself; run the same command again",
    )


def session_fault(target: Target, code: int, stderr: str) -> DeviceError:
    """The connection stands, a command on it did not run to its end."""
    if "refused by peer" in stderr:
        return DeviceError(
            f"{target.name}: its sshd allows one session a connection only: {tail(stderr)}",
            "MaxSessions in its sshd_config must be 2 or more",
        )
    return DeviceError(
        f"{target.name}: a command was cut off there (ssh ended with {code}): {tail(stderr)}",
        "something ended it there, lack of memory perhaps (dmesg); run the same command again",
    )


def _matched_text(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return f" ({found[1].strip()})" if found else ""
