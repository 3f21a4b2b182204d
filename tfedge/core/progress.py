"""Progress for people, and for programs that follow a run.

On a terminal the stages stand in a list that is drawn anew as they go on (``core/live.py``);
elsewhere (a file, CI) there are plain lines, a few a minute, and each stage ends with one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tfedge.files.artifact import disk_errors
from tfedge.files.progress import SECONDS, NoProgress, heartbeat
from tfedge.files.terminal import draws
from tfedge.redact import without_secrets

if TYPE_CHECKING:
    from tfedge.core.events import Event

WARNING = "warning: "  # what a note begins with that is one
NAME = 10  # columns of a stage's name
_BEAT_SECONDS = 1.0  # between two looks at whether a stage is silent
_PLAIN_SECONDS = 5.0  # between two plain lines
_SILENT_SECONDS = 5.0  # after which a stage that says nothing is said to be at work


class RunProgress:
    """Where a run says how it goes. Here nobody listens: every method does nothing.

    To follow a run from Python, derive a class and override the methods of interest. A run calls
    one of them at a time, but not always from the thread that started it. What a method raises
    ends the run.
    """

    def begin(self, stages: Sequence[str]) -> None:
        """The run begins; it will go through these stages."""

    def estimate(self, seconds: float, text: str, unknown: Sequence[str] = ()) -> None:
        """How long the run will take from now on, by what its stages took in earlier runs, without
        those that are ``unknown``; ``text`` says so to people."""

    def start(self, stage: str, number: int, total: int) -> None:
        """A stage begins: the ``number``-th of ``total``, counted from 1."""

    def end(self, cache: str, seconds: float) -> None:
        """The stage is done: ``cache`` is hit, miss or none (never cached)."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        """``done`` of ``total`` of what the stage is busy with: images, steps …"""

    def loss(self, what: str, value: float) -> None:
        """The loss of the step that the training ``what`` has just done."""

    def epoch(self, what: str, number: int, total: int, figures: Mapping[str, float]) -> None:
        """The training ``what`` has ended an epoch, the ``number``-th of ``total``, counted from 1.
        ``figures``: ``loss``, ``learning_rate``; where a validation split is asked ``val_loss`` and
        the task's metric, as ``val_top1``."""

    def note(self, text: str) -> None:
        """Something to read: a decision, a measured number, or a warning, which begins with
        ``warning: `` and is told once a run."""

    def finish(self) -> None:
        """All is done."""

    def fail(self, status: str, message: str) -> None:
        """The run ends here: failed, gate failed or interrupted. The error is raised as well."""

    def clear(self) -> None:
        """What is drawn for the moment only should go."""


def shown_on(progress: RunProgress | TextIO | None) -> RunProgress:
    """A progress object as it is, a stream as lines on it, or as a list that is drawn anew where it
    is a terminal; None as silence."""
    if progress is None:
        return RunProgress()
    if isinstance(progress, RunProgress):
        return progress
    if not draws(progress):
        return Reporter(progress)
    from tfedge.core.live import LiveProgress

    return LiveProgress(progress)


class Recorder(RunProgress):
    """Keeps a run's progress in ``events.jsonl`` and passes it on. Safe across threads.

    One JSON object a line, with the time in Unix seconds, there at once. A warning that comes again
    is left out.
    """

    def __init__(self, path: Path, shown: RunProgress) -> None:
        from tfedge.core.events import RunEvents

        self._path = path
        self._shown = shown
        self._events = RunEvents(self._write)
        self._lock = threading.RLock()
        self._heard = 0.0  # when the stage last said something
        self._warned: set[str] = set()

    @contextmanager
    def at_work(self, every: float = _BEAT_SECONDS) -> Iterator[None]:
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

    def begin(self, stages: Sequence[str]) -> None:
        with self._lock:
            self._events.begin(stages)
            self._shown.begin(stages)

    def estimate(self, seconds: float, text: str, unknown: Sequence[str] = ()) -> None:
        with self._lock:
            self._events.estimate(seconds, text, unknown)
            self._shown.estimate(seconds, text, unknown)

    def start(self, stage: str, number: int, total: int) -> None:
        with self._lock:
            self._events.start(stage, number, total)
            self._shown.start(stage, number, total)

    def end(self, cache: str, seconds: float) -> None:
        with self._lock:
            self._shown.end(cache, seconds)
            self._events.end(cache, seconds)

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        with self._lock:
            self._heard = time.monotonic()
            self._events.update(what, done, total, unit)
            self._shown.update(what, done, total, unit)

    def loss(self, what: str, value: float) -> None:
        with self._lock:
            self._events.loss(what, value)
            self._shown.loss(what, value)

    def epoch(self, what: str, number: int, total: int, figures: Mapping[str, float]) -> None:
        with self._lock:
            self._heard = time.monotonic()
            self._events.epoch(what, number, total, figures)
            self._shown.epoch(what, number, total, figures)

    def note(self, text: str) -> None:
        text = without_secrets(text)
        with self._lock:
            self._heard = time.monotonic()
            if text in self._warned:
                return
            if text.startswith(WARNING):
                self._warned.add(text)
            self._events.note(text)
            self._shown.note(text)

    def finish(self) -> None:
        with self._lock:
            self._events.finish()
            self._shown.finish()

    def fail(self, status: str, message: str) -> None:
        with self._lock:
            self._shown.fail(status, message)
            self._events.fail(status, message)

    def clear(self) -> None:
        with self._lock:
            self._shown.clear()

    def _write(self, event: Event) -> None:
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")


class _WhenSilent(NoProgress):
    """What a recorder hears of a heartbeat."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        self._recorder.beat(what, done)


class Pace:
    """How fast what is being done goes, and how long it will take."""

    def __init__(self) -> None:
        self._what = ""
        self._since = (0.0, 0)  # when `what` began, and with how much done

    def described(self, what: str, done: int, total: int, unit: str) -> str:
        """What, how far, the rate, the time left."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._since = what, (now, done)
        since, first = self._since
        counted = f"{done:,}/{total:,}" if total else f"{done:,}"
        said = [f"{what} {counted} {unit}".rstrip()]
        if now - since > 0.5 and done > first and unit != SECONDS:
            rate = (done - first) / (now - since)
            said.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if total > done:
                said.append(f"{clock((total - done) / rate)} left")
        return ", ".join(said)


class Reporter(RunProgress):
    """Tells a run's progress in plain lines on ``stream``. Safe across threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._head = ""
        self._titled = False  # whether the stage's name stands above its notes
        self._pace = Pace()
        self._updated = 0.0  # when progress was last shown

    def estimate(self, seconds: float, text: str, unknown: Sequence[str] = ()) -> None:
        with self._lock:
            self._line(text)

    def start(self, stage: str, number: int, total: int) -> None:
        with self._lock:
            self._pace, self._titled = Pace(), False
            self._head = f"[{number}/{total}] {stage.ljust(NAME)}"
            # The first line comes with the first note, after some progress, or at the end.
            self._updated = time.monotonic()

    def end(self, cache: str, seconds: float) -> None:
        with self._lock:
            how = "from the cache" if cache == "hit" else f"{seconds:.1f} s"
            self._line(f"{self._head} {how}")
            self._head = ""

    def fail(self, status: str, message: str) -> None:
        """Without the message, which is shown elsewhere."""
        with self._lock:
            if self._head:
                self._line(f"{self._head} {status}")

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        with self._lock:
            text = self._pace.described(what, done, total, unit)
            now = time.monotonic()
            if now - self._updated >= _PLAIN_SECONDS:
                self._updated = now
                self._line(f"{self._head} {text}".lstrip())

    def note(self, text: str) -> None:
        with self._lock:
            if self._head and not self._titled:
                self._line(self._head.rstrip())
                self._titled = True
            for line in text.splitlines():
                self._line(f"      {line}")

    def _line(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


class Warnings(RunProgress):
    """Tells the warnings of a run on ``stream``, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def note(self, text: str) -> None:
        if text.startswith(WARNING):
            self._stream.write(f"{text}\n")
            self._stream.flush()


def clock(seconds: float) -> str:
    """A time for people: ``40 s``, ``1:05 min``, ``2:10 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
