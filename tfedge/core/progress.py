"""Progress for people, and ``events.jsonl`` for programs.

On a terminal one live line says stage, what, how far, rate and time left; elsewhere (a file, CI)
there are plain lines, a few a minute. Either way each stage ends with a line that stays.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any, TextIO

_LIVE_SECONDS = 0.1  # between two drawings of the live line
_PLAIN_SECONDS = 5.0  # between two plain lines
_EVENT_SECONDS = 1.0  # between two progress events
_NAME = 10  # columns of a stage's name


class Events:
    """``events.jsonl``: one JSON object a line, with the time in Unix seconds, there at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: str, **facts: Any) -> None:
        record = {"time": round(time.time(), 3), "event": event, **facts}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


class Reporter:
    """Draws a run's progress on ``stream``: a ``context.Progress``, safe across threads."""

    def __init__(self, stream: TextIO, live: bool | None = None) -> None:
        self._stream = stream
        self._live = stream.isatty() if live is None else live
        self._events: Events | None = None
        self._lock = threading.RLock()
        self._drawn = 0  # columns of the live line
        self._head = ""
        self._titled = False  # whether the stage's name stands above its notes
        self._stage = ""
        self._what = ""
        self._since = (0.0, 0)  # when `what` began, and with how much done
        self._shown = {"screen": 0.0, "event": 0.0}  # when something was last shown there

    def log_to(self, events: Events) -> None:
        """Record in ``events.jsonl`` as well from now on."""
        self._events = events

    def start(self, stage: str, number: int, total: int) -> None:
        """A stage begins."""
        with self._lock:
            self._stage, self._what, self._titled = stage, "", False
            self._head = f"[{number}/{total}] {stage.ljust(_NAME)}"
            self._event("start", stage=stage)
            if self._live:
                self._draw(self._head)
            # Else the first line comes with the first note, after some progress, or at the end.
            self._shown["screen"] = time.monotonic()

    def end(self, cache: str, seconds: float) -> None:
        """The stage is done: ``cache`` is hit, miss or none (never cached)."""
        with self._lock:
            how = "from the cache" if cache == "hit" else f"{seconds:.1f} s"
            self._line(f"{self._head} {how}")
            self._event("end", stage=self._stage, cache=cache, seconds=round(seconds, 3))
            self._head = self._stage = ""

    def clear(self) -> None:
        """Take the live line away."""
        with self._lock:
            self._line("")

    def finish(self) -> None:
        """All is done."""
        self._event("run end", status="ok")

    def fail(self, status: str, message: str) -> None:
        """The run ends here: failed, gate failed or interrupted. The message is shown elsewhere."""
        with self._lock:
            self._line(f"{self._head} {status}" if self._head else "")
            self._event("run end", stage=self._stage, status=status, message=message)

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        """``done`` of ``total`` of what the stage is busy with."""
        with self._lock:
            now = time.monotonic()
            if what != self._what:
                self._what, self._since = what, (now, done)
            if self._due("event", now, _EVENT_SECONDS):
                facts = {"what": what, "done": done, "total": total, "unit": unit}
                self._event("progress", stage=self._stage, **facts)
            if self._due("screen", now, _LIVE_SECONDS if self._live else _PLAIN_SECONDS):
                text = f"{self._head} {self._described(now, done, total, unit)}".lstrip()
                if self._live:
                    self._draw(text)
                else:
                    self._line(text)

    def note(self, text: str) -> None:
        """One line that stays."""
        with self._lock:
            self._event("note", stage=self._stage, text=text)
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
        if now - since > 0.5 and done > first:
            rate = (done - first) / (now - since)
            said.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if total > done:
                said.append(f"{_clock((total - done) / rate)} left")
        return ", ".join(said)

    def _due(self, where: str, now: float, every: float) -> bool:
        if now - self._shown[where] < every:
            return False
        self._shown[where] = now
        return True

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

    def _event(self, event: str, **facts: Any) -> None:
        if self._events is not None:
            self._events.write(event, **facts)


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
