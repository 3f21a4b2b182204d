"""Progress for people, and ``events.jsonl`` for programs.

On a terminal one live line says stage, what, how far, rate and time left; elsewhere (a file, CI)
there are plain lines, a few a minute. Either way each stage ends with a line that stays.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tfedge.files.artifact import disk_errors
from tfedge.files.progress import SECONDS, NoProgress, heartbeat
from tfedge.redact import without_secrets

_LIVE_SECONDS = 0.1  # between two drawings of the live line
_PLAIN_SECONDS = 5.0  # between two plain lines
_EVENT_SECONDS = 1.0  # between two progress events
_SILENT_SECONDS = 5.0  # after which a stage that says nothing is said to be at work
_NAME = 10  # columns of a stage's name


class RunProgress:
    """Where a run says how it goes. Here nobody listens: every method does nothing.

    To follow a run from Python, derive a class and override the methods of interest. A run calls
    one of them at a time, but not always from the thread that started it. What a method raises
    ends the run.
    """

    def start(self, stage: str, number: int, total: int) -> None:
        """A stage begins: the ``number``-th of ``total``, counted from 1."""

    def end(self, cache: str, seconds: float) -> None:
        """The stage is done: ``cache`` is hit, miss or none (never cached)."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        """``done`` of ``total`` of what the stage is busy with: images, steps …"""

    def note(self, text: str) -> None:
        """Something to read: a decision, a warning, a measured number."""

    def finish(self) -> None:
        """All is done."""

    def fail(self, status: str, message: str) -> None:
        """The run ends here: failed, gate failed or interrupted. The error is raised as well."""

    def clear(self) -> None:
        """What is drawn for the moment only should go."""


def shown_on(progress: RunProgress | TextIO | None) -> RunProgress:
    """A progress object as it is, a stream as lines on it, None as silence."""
    if progress is None:
        return RunProgress()
    return progress if isinstance(progress, RunProgress) else Reporter(progress)


class Recorder(RunProgress):
    """Keeps a run's progress in ``events.jsonl`` and passes it on. Safe across threads.

    One JSON object a line, with the time in Unix seconds, there at once.
    """

    def __init__(self, path: Path, shown: RunProgress) -> None:
        self._path = path
        self._shown = shown
        self._lock = threading.RLock()
        self._stage = ""
        self._updated = 0.0  # when a progress event was last written
        self._heard = 0.0  # when the stage last said something

    @contextmanager
    def at_work(self, every: float = _EVENT_SECONDS) -> Iterator[None]:
        """Inside, a stage that says nothing for some seconds is said to be at work, and for how
        long."""
        with self._lock:
            self._heard = time.monotonic()
        with heartbeat(_WhenSilent(self), "at work", every):
            yield

    def beat(self, what: str, seconds: int) -> None:
        """How long the stage has been at it, unless it has just said something itself."""
        with self._lock:
            heard = self._heard
            if time.monotonic() - heard >= _SILENT_SECONDS:
                self.update(what, seconds, 0, SECONDS)
                self._heard = heard

    def start(self, stage: str, number: int, total: int) -> None:
        with self._lock:
            self._stage = stage
            self._write("start", stage=stage)
            self._shown.start(stage, number, total)

    def end(self, cache: str, seconds: float) -> None:
        with self._lock:
            self._shown.end(cache, seconds)
            self._write("end", stage=self._stage, cache=cache, seconds=round(seconds, 3))
            self._stage = ""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        with self._lock:
            self._heard = now = time.monotonic()
            if now - self._updated >= _EVENT_SECONDS:
                self._updated = now
                facts = {"what": what, "done": done, "total": total, "unit": unit}
                self._write("progress", stage=self._stage, **facts)
            self._shown.update(what, done, total, unit)

    def note(self, text: str) -> None:
        text = without_secrets(text)
        with self._lock:
            self._heard = time.monotonic()
            self._write("note", stage=self._stage, text=text)
            self._shown.note(text)

    def finish(self) -> None:
        with self._lock:
            self._write("run end", status="ok")
            self._shown.finish()

    def fail(self, status: str, message: str) -> None:
        with self._lock:
            self._shown.fail(status, message)
            self._write("run end", stage=self._stage, status=status, message=message)

    def clear(self) -> None:
        with self._lock:
            self._shown.clear()

    def _write(self, event: str, **facts: Any) -> None:
        record = {"time": round(time.time(), 3), "event": event, **facts}
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


class _WhenSilent(NoProgress):
    """What a recorder hears of a heartbeat."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        self._recorder.beat(what, done)


class Reporter(RunProgress):
    """Draws a run's progress on ``stream``. Safe across threads."""

    def __init__(self, stream: TextIO, live: bool | None = None) -> None:
        self._stream = stream
        self._live = stream.isatty() if live is None else live
        self._lock = threading.RLock()
        self._drawn = 0  # columns of the live line
        self._head = ""
        self._titled = False  # whether the stage's name stands above its notes
        self._what = ""
        self._since = (0.0, 0)  # when `what` began, and with how much done
        self._updated = 0.0  # when progress was last shown

    def start(self, stage: str, number: int, total: int) -> None:
        with self._lock:
            self._what, self._titled = "", False
            self._head = f"[{number}/{total}] {stage.ljust(_NAME)}"
            if self._live:
                self._draw(self._head)
            # Else the first line comes with the first note, after some progress, or at the end.
            self._updated = time.monotonic()

    def end(self, cache: str, seconds: float) -> None:
        with self._lock:
            how = "from the cache" if cache == "hit" else f"{seconds:.1f} s"
            self._line(f"{self._head} {how}")
            self._head = ""

    def clear(self) -> None:
        """Take the live line away."""
        with self._lock:
            self._line("")

    def fail(self, status: str, message: str) -> None:
        """Without the message, which is shown elsewhere."""
        with self._lock:
            self._line(f"{self._head} {status}" if self._head else "")

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        with self._lock:
            now = time.monotonic()
            if what != self._what:
                self._what, self._since = what, (now, done)
            if now - self._updated >= (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
                self._updated = now
                text = f"{self._head} {self._described(now, done, total, unit)}".lstrip()
                if self._live:
                    self._draw(text)
                else:
                    self._line(text)

    def note(self, text: str) -> None:
        """Lines that stay."""
        with self._lock:
            if self._head and not self._titled:
                self._line(self._head.rstrip())
                self._titled = True
            for line in text.splitlines():
                self._line(f"      {line}")
            if self._live and self._head:
                self._draw(self._head)

    def _described(self, now: float, done: int, total: int, unit: str) -> str:
        since, first = self._since
        counted = f"{done:,}/{total:,}" if total else f"{done:,}"
        said = [f"{self._what} {counted} {unit}".rstrip()]
        if now - since > 0.5 and done > first and unit != SECONDS:
            rate = (done - first) / (now - since)
            said.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if total > done:
                said.append(f"{_clock((total - done) / rate)} left")
        return ", ".join(said)

    def _draw(self, text: str) -> None:
        """The live line, over the one before it."""
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write(f"\r{text.ljust(self._drawn)}")
        self._stream.flush()
        self._drawn = len(text)

    def _line(self, text: str) -> None:
        """A line that stays, in place of the live one."""
        if self._drawn:
            self._stream.write(f"\r{' ' * self._drawn}\r")
            self._drawn = 0
        if text:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
