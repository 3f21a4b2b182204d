"""The texts that run in a device's own ``sh``: constant, each argument comes quoted behind them.

Written for any POSIX sh (dash, BusyBox ash, mksh, bash), on one line and without single quotes,
backslashes and any ``!`` but in ``$!;``, so that a login shell that is none (csh, fish) hands them
on unchanged.

**How a command ends when this side goes away.** sshd and adbd do not signal a command without a
terminal when the connection ends; all that comes through is end-of-file on stdin. So there are two
ways to run something, and nothing runs in any other:

- :func:`held`: the command, in a session of its own where there is ``setsid``, beside a watcher
  that reads stdin and on end-of-file kills the command with all that it started (SIGKILL: a
  process that hangs or is stopped ends, too). The command has the *same* stdin. Nothing is ever
  sent there, so nothing can be taken from one by the other, and both see the end: a Python script
  may be given ``--attached`` on top, and must be given it where there is no ``setsid`` and it
  starts processes of its own.
- :func:`fed`: the command reads data from stdin, a file that is sent, and ends with it.

Both frame what the command prints: ``BEGIN`` on stdout and stderr before it (what a login script
printed stands ahead of that and is dropped), ``ENDED <code>`` on stderr behind it. Without that
last line the command did *not* end by itself, whatever exit code the client reports: ``ssh``
reports 255 for a lost connection as for a command's own 255, and ``adb shell`` reports 0.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

BEGIN = "tfedge-begin"
ENDED = "tfedge-ended"

_HEAD = f"echo {BEGIN}; echo {BEGIN} >&2; "
_TAIL = f"; echo >&2; echo {ENDED} $r >&2; exit $r"
_MISSING = 'command -v "$1" >/dev/null 2>&1 || { echo "$1: not found" >&2; r=127; }; '

# setsid: the command leads a process group, so that one signal reaches all that it starts. The
# group may not be there yet when the connection ends at once: then the process itself is hit.
_HELD = (
    "exec 3<&0; r=0; s=; command -v setsid >/dev/null 2>&1 && s=setsid; "
    + _MISSING
    + "if [ $r = 0 ]; then "
    '$s "$@" <&3 3<&- & c=$!; '
    "end() { kill -KILL -$c || kill -KILL $c; } >/dev/null 2>&1; "
    "{ while read -r x; do :; done; end; } <&3 >/dev/null 2>&1 & w=$!; "
    'trap "end; kill -KILL $w; exit 129" HUP INT TERM; '
    'wait $c; r=$?; kill -KILL $w; [ -n "$s" ] && end; '
    "fi"
)
_FED = "r=0; " + _MISSING + 'if [ $r = 0 ]; then "$@"; r=$?; fi'


def script(text: str, *arguments: str) -> list[str]:
    """argv that runs a text of this module; in it the arguments are ``$1``, ``$2`` …"""
    return ["sh", "-c", text, "tfedge", *arguments]


def held(argv: Sequence[str]) -> str:
    """The command line that runs ``argv`` for as long as stdin is open."""
    return shlex.join(script(_HEAD + _HELD + _TAIL, *argv))


def fed(argv: Sequence[str]) -> str:
    """The command line that runs ``argv`` on data that comes through stdin."""
    return shlex.join(script(_HEAD + _FED + _TAIL, *argv))


def unframed(stdout: bytes, stderr: bytes) -> tuple[int | None, bytes, str]:
    """Exit code, stdout, stderr of the command itself, out of what the client printed.

    None instead of a code: it did not end by itself; stderr is then what the client said.
    """
    found = list(_ENDED.finditer(stderr))
    if not found:
        return None, b"", _after_begin(stderr).decode("utf-8", "replace")
    last = found[-1]
    told = _after_begin(stderr[: last.start()]).decode("utf-8", "replace")
    return int(last[1]), _after_begin(stdout), told


_ENDED = re.compile(rb"\r?\n%s (\d+)\r?\n" % ENDED.encode())
_BEGIN = re.compile(rb"%s\r?\n" % BEGIN.encode())


def _after_begin(data: bytes) -> bytes:
    first = _BEGIN.search(data)
    return data[first.end() :] if first else data


READY = "tfedge-ready"
BUSY = "tfedge-busy"
LACKS = "tfedge-lacks"
CLOSED = "tfedge-closed"

# What this house needs on a device; the command line tools of Debian, BusyBox and Android have it.
TOOLS = ("cat", "flock", "mkdir", "mv", "rm", "sha256sum", "tar")

# $1 workspace, under $HOME unless absolute; $2 token of this process; $3 who it is.
# Holds the lock until stdin ends. Under it, before anything else: what an earlier bench was
# sending when the device lost power goes, and what no bench has used for 30 days.
# Two devices.yaml entries may be one board (two interpreters on it): a lock of the same token,
# that is of the same tfedge, does not stand in the way.
HOLD = (
    "LC_ALL=C; export LC_ALL; umask 077; "
    f"for t in {' '.join(TOOLS)}; do "
    f'command -v $t >/dev/null 2>&1 || {{ echo {LACKS} "$t"; exit 1; }}; done; '
    'case "$1" in /*) w=$1;; *) w=${HOME:-.}/$1;; esac; '
    f'mkdir -p "$w" && cd "$w" && : >>lock || {{ echo {CLOSED} "$w"; exit 1; }}; '
    "{ if flock -n 9; then mine=1; "
    'echo "$2 $$ $3" >lock; rm -rf ./*/.part; '
    "find . -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +; "
    "else mine=; read -r t who <lock; "
    f'[ "$t" = "$2" ] || {{ echo {BUSY} "$who"; exit 1; }}; fi; '
    f'echo {READY}; pwd; echo "$HOME"; '
    "while read -r x; do :; done; "
    '[ -z "$mine" ] || : >lock; } 9>>lock'
)

# $1 the folder of a digest, the rest files in it: their digests, as this device computes them.
# A line for each that is there; those that are not are simply missing from the answer.
DIGESTS = (
    'LC_ALL=C; export LC_ALL; cd "$1" 2>/dev/null || exit 0; shift; touch .; '
    'for f in "$@"; do [ -f "./$f" ] && sha256sum <"./$f" || echo missing; done'
)

# $1 the folder of a digest. Unpacks the tar from stdin beside its place; all of it or nothing.
# If nothing, then says what space there is: GNU tar's "Wrote only 2048 of 10240 bytes" does not.
SEND = (
    'LC_ALL=C; export LC_ALL; umask 077; rm -rf "$1/.part"; '
    'mkdir -p "$1/.part" && tar -xmf - -C "$1/.part"; r=$?; '
    '[ $r = 0 ] || { rm -rf "$1/.part"; rmdir "$1"; df -Pk "${1%/*}"; } 2>/dev/null; exit $r'
)

# $1 the folder of a digest, $2 the name in it: what was sent and found right goes to its place.
PLACE = 'rm -rf "$1/$2" && mv "$1/.part/$2" "$1/$2" && rm -rf "$1/.part"'

# $1 the folder of a digest: what was sent and found wrong goes away.
DISCARD = 'rm -rf "$1/.part"; rmdir "$1" 2>/dev/null; exit 0'

# $1 a file: its digest in a first line, then its bytes.
FETCH = 'LC_ALL=C; export LC_ALL; [ -f "$1" ] || { echo "no such file" >&2; exit 1; }; ' + (
    'sha256sum <"$1" && cat <"$1"'
)
