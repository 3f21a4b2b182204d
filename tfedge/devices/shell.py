"""What ssh, adb and the local device share: running, sending and fetching, all through one client
program that runs a command line in the device's ``sh``.

A device of this kind holds a :class:`tfedge.devices.hold.Hold` while it is entered, and has::

    def client(command: str) -> list[str]:               # argv of a local process that runs it
        return ["ssh", …, host, command]                 # there, with its exit code if it can

    def broken(code: int, stderr: str) -> DeviceError:   # what the client's own failure means
        ...

    shell = Shell(name, client, broken, hold.workspace)

How a command runs there so that nothing of it stays, and why its stdin is held open, is told in
:mod:`tfedge.devices.scripts`. In short, for whoever calls ``run``: the command sees an open, empty
stdin and may watch it (``--attached``); it must not expect data from it; it is killed with all
that it started when the time is over, when this process ends in any way, and when the connection
is lost.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tfedge.devices import scripts
from tfedge.devices.device import Done
from tfedge.devices.payload import Payload, pack
from tfedge.errors import DeviceError

Client = Callable[[str], Sequence[str]]
Broken = Callable[[int, str], DeviceError]

_GRACE = 10.0  # seconds for a command to end once it was told to
_SHORT = 60.0  # seconds for the small commands of this house
_SLOWEST = 50_000  # bytes a second that a link carries or a device reads; below that it hangs
_LINE = 30_000  # bytes of a command line; Linux takes 128 KiB in one piece, others less
_FULL = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True)
class Answer:
    """What a client process printed and how it ended."""

    returncode: int
    stdout: bytes
    stderr: bytes
    late: bool = False  # the time was over, and the command was told to end


def converse(client: Sequence[str], *, timeout: float, feed: IO[bytes] | None = None) -> Answer:
    """Run a client process to its end; with ``feed`` as its stdin, or one that is held open.

    After ``timeout`` seconds stdin is closed, upon which the far side ends the command; a client
    that does not end then either is killed. No process is left on this side in any case.
    """
    reading, holding = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                client,
                stdin=reading if feed is None else feed,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        finally:
            os.close(reading)
        try:
            out, err = process.communicate(timeout=timeout)
            return Answer(process.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.close(holding)
            holding = -1
            if feed is not None:
                process.kill()
            out, err = _remaining_output(process)
            return Answer(end(process), out, err, late=True)
        except BaseException:  # Ctrl-C: the far side must hear of it, too
            os.close(holding)
            holding = -1
            end(process)
            raise
    finally:
        if holding >= 0:
            os.close(holding)


def _remaining_output(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=_GRACE)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b""


def end(process: subprocess.Popen[bytes]) -> int:
    """Wait for a client whose stdin is closed, kill it if that does not help; its exit code."""
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return process.wait()


@dataclass(frozen=True)
class Shell:
    """Commands and files on a device that is held."""

    name: str
    client: Client
    broken: Broken
    workspace: str  # absolute path there

    def run(self, argv: Sequence[str], *, timeout: float) -> Done:
        """See :meth:`tfedge.devices.device.Device.run`."""
        code, stdout, stderr = self._answer(argv, timeout)
        return Done(tuple(argv), code, stdout.decode("utf-8", "replace"), stderr)

    def _answer(self, argv: Sequence[str], timeout: float) -> tuple[int, bytes, str]:
        answer = converse(self.client(scripts.held(argv)), timeout=timeout)
        code, stdout, stderr = scripts.unframed(answer.stdout, answer.stderr)
        if answer.late:
            message = f"{self.name}: no answer within {timeout:g} s from {shown(argv)}"
            if code is None:
                raise DeviceError(
                    f"{message}, and none when it was told to end",
                    "the device or the link hangs: look at it, then run the same command again",
                )
            raise DeviceError(
                f"{message}: it was ended there", "allow more time (--timeout), or do fewer runs"
            )
        if code is None:
            raise self.broken(answer.returncode, stderr)
        return code, stdout, stderr

    def push(self, local: Path) -> str:
        """See :meth:`tfedge.devices.device.Device.push`."""
        payload = pack(local)
        folder = f"{self.workspace}/{payload.digest}"
        if self._wrong(folder, payload):
            self._send(local, folder, payload)
            if wrong := self._wrong(f"{folder}/.part", payload):
                self.run(scripts.script(scripts.DISCARD, folder), timeout=_SHORT)
                raise DeviceError(
                    f"{self.name}: {local} was damaged on the way: {wrong}",
                    "try again; if it stays so, check the device's storage",
                )
            done = self.run(scripts.script(scripts.PLACE, folder, payload.name), timeout=_SHORT)
            if done.returncode:
                raise self._unwritten(local, payload, done.stderr)
        return f"{folder}/{payload.name}"

    def _wrong(self, folder: str, payload: Payload) -> str:
        """What is not there as it should be; empty when all of it is, by the device's own word."""
        allowed = _SHORT + payload.size / _SLOWEST
        for names in _in_chunks(payload.files):
            argv = scripts.script(scripts.DIGESTS, folder, *names)
            code, stdout, stderr = self._answer(argv, allowed)
            got = [line.split(" ")[0] for line in stdout.decode("ascii", "replace").splitlines()]
            if code:
                return stderr.strip() or f"reading it there failed ({code})"
            for i, name in enumerate(names):
                want, have = payload.files[name][1], got[i] if i < len(got) else "missing"
                if have != want:
                    return f"{name}: expected SHA-256 {want}, got {have}"
        return ""

    def _send(self, local: Path, folder: str, payload: Payload) -> None:
        allowed = _SHORT + payload.size / _SLOWEST
        command = scripts.fed(scripts.script(scripts.SEND, folder))
        with tempfile.TemporaryFile() as tar:
            try:
                payload.write_tar(tar)
                tar.seek(0)
            except OSError as error:
                raise DeviceError(
                    f"{local}: can't be read or copied: {error.strerror or error}",
                    "a copy is made in the folder for temporary files first (TMPDIR)",
                ) from error
            answer = converse(self.client(command), timeout=allowed, feed=tar)
        code, stdout, stderr = scripts.unframed(answer.stdout, answer.stderr)
        if answer.late:
            raise DeviceError(
                f"{self.name}: {local} ({payload.size:,} bytes) was not sent in {allowed:.0f} s",
                "the link is very slow or hangs; try again",
            )
        if code is None:
            raise self.broken(answer.returncode, stderr)
        if code:
            raise self._unwritten(local, payload, stderr, _free_bytes(stdout))

    def _unwritten(
        self, local: Path, payload: Payload, stderr: str, free: int | None = None
    ) -> DeviceError:
        if any(text in stderr for text in _FULL) or (free is not None and free < payload.size):
            left = "" if free is None else f", {free:,} are free"
            return DeviceError(
                f"{self.name}: disk full: no room for {local} ({payload.size:,} bytes{left}) "
                f"in {self.workspace}",
                f"free some space there; {self.workspace} itself may be deleted at any time",
            )
        return DeviceError(
            f"{self.name}: {local} can't be written to {self.workspace}: {tail(stderr)}",
            "the account there must be able to write in it",
        )

    def pull(self, remote: str, local: Path) -> None:
        """See :meth:`tfedge.devices.device.Device.pull`."""
        code, stdout, stderr = self._answer(scripts.script(scripts.FETCH, remote), 10 * _SHORT)
        if code:
            raise DeviceError(f"{self.name}: {remote} can't be fetched: {tail(stderr)}")
        line, _, content = stdout.partition(b"\n")
        want, got = line.split(b" ")[0].decode("ascii", "replace"), hashlib.sha256(content)
        if got.hexdigest() != want:
            raise DeviceError(
                f"{self.name}: {remote} was damaged on the way: "
                f"expected SHA-256 {want}, got {got.hexdigest()}",
                "try again",
            )
        part = local.with_name(local.name + ".part")
        try:
            part.write_bytes(content)
            part.replace(local)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise DeviceError(f"{local}: can't be written: {error.strerror or error}") from error


def _in_chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Names in portions that fit into a command line each."""
    chunk: list[str] = []
    room = _LINE
    for name in names:
        size = 4 * len(os.fsencode(name)) + 3  # a quote takes five bytes, seldom is there one
        if chunk and size > room:
            yield chunk
            chunk, room = [], _LINE
        chunk.append(name)
        room -= size
    yield chunk


def _free_bytes(df: bytes) -> int | None:
    """What ``df -Pk`` says is available; None when it says nothing."""
    fields = df.decode("utf-8", "replace").strip().rpartition("\n")[2].split()
    return int(fields[3]) * 1024 if len(fields) >= 6 and fields[3].isdigit() else None


def shown(argv: Sequence[str], width: int = 160) -> str:
    """A command for a message: quoted, on one line, not too long."""
    text = " ".join(shlex.join(argv).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def tail(stderr: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
