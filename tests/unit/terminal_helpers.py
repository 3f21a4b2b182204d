"""A terminal with a program in it: a pseudo-terminal, and an emulator that says what stands on its
screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; a loaded machine takes long to import


def environment(**more: str) -> dict[str, str]:
    """That of a terminal of UTF-8 with colours, whatever the tests run in."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    return {**kept, "PYTHONPATH": f"{ROOT}", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **more}


class Terminal:
    """Runs ``command`` on a screen of ``rows`` by ``columns``."""

    def __init__(
        self, *command: str, cwd: Path, rows: int = 24, columns: int = 90, **environment: str
    ) -> None:
        self.raw = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._pid, self._master = pty.fork()
        if self._pid == 0:  # nothing but exec may happen here
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in the background ignore it
            os.chdir(cwd)
            os.execvpe(command[0], command, environment)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, from the top to the last line with something on it."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    @property
    def cursor_shown(self) -> bool:
        return not self._screen.cursor.hidden

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, *texts: str) -> None:
        """Until all of them stand on the screen."""
        deadline = time.monotonic() + PATIENCE
        while not all(text in "\n".join(self.lines) for text in texts):
            assert time.monotonic() < deadline and self._read(), "\n".join([*texts, *self.lines])

    def end(self) -> int:
        """The exit code, once the program has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, "\n".join(self.lines)
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> bool:
        """Feed what has come to the screen; False when no more will."""
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        try:
            found = os.read(self._master, 65536)
        except OSError:  # how Linux says that nobody has the other end any more
            return False
        self.raw += found
        self._stream.feed(found)
        return bool(found)
