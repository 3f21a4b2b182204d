"""Progress on a terminal: the stages as a list that is drawn anew as the run goes on.

Above the list stand the notes, which stay. When the run has ended, so does the list.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tfedge.core.progress import NAME, WARNING, Pace, RunProgress, clock
from tfedge.files.terminal import READABLE, printable
from tfedge.files.text import sparkline

_EACH_SECOND = 1  # drawings when nothing new is told: what is measured meanwhile has the processor
_EVERY = 0.25  # seconds between two drawings of what is told
_POINTS = 30  # columns of the curve of the loss
_BAR = 30  # … and of the bar
_KEPT = 16 * _POINTS  # means of losses, and at most twice as many
_LATEST = 10  # steps whose mean the loss is that is shown
# What a stage's state looks like: the mark, the style.
_MARKS = {
    "waits": ("·", "dim"),
    "runs": ("›", "bold cyan"),
    "done": ("✓", "green"),
    "hit": ("✓", "green"),
    "failed": ("✗", "bold red"),
}


@dataclass
class _Training:
    """What a training that is at work has told. ``losses`` are means of ``each`` steps, which
    become more as the curve becomes long."""

    what: str
    losses: list[float] = field(default_factory=list)
    each: int = 1
    epoch: dict[str, float] = field(default_factory=dict)  # figures of the latest
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))
    _steps: list[float] = field(default_factory=list)  # fewer than ``each``

    def step(self, loss: float) -> None:
        self.latest.append(loss)
        self._steps.append(loss)
        if len(self._steps) == self.each:
            self.losses.append(fmean(self._steps))
            self._steps = []
        if len(self.losses) == 2 * _KEPT:
            pairs = zip(self.losses[::2], self.losses[1::2], strict=True)
            self.losses, self.each = [fmean(pair) for pair in pairs], 2 * self.each


@dataclass
class _Row:
    """A stage. ``detail`` is how it ended."""

    stage: str
    state: str = "waits"
    seconds: float = 0.0
    detail: str = ""


class LiveProgress(RunProgress):
    """Draws a run's progress on a terminal. Safe across threads.

    It must be told how the run ends, or to ``clear``: until then the cursor is hidden.
    """

    def __init__(self, stream: TextIO) -> None:
        self._encoding = stream.encoding or "utf-8"
        self._console = Console(
            file=stream, force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._measure()
        self._live: Live | None = None
        self._drawn = 0.0  # when what was told was last drawn
        self._lock = threading.Lock()  # of what follows; never held while anything is written
        self._rows: list[_Row] = []
        self._now: _Row | None = None
        self._began = self._since = time.monotonic()  # the run, the stage
        self._until = 0.0  # when the run will have ended, where that is known
        self._doing = ""
        self._share: tuple[int, int] | None = None  # done of total
        self._pace = Pace()
        self._training: _Training | None = None

    # -------------------------------------------------------------- what a run tells

    def begin(self, stages: Sequence[str]) -> None:
        with self._lock:
            self._rows = [_Row(name) for name in stages]
            self._began = time.monotonic()
        self._draw()

    def estimate(self, seconds: float, text: str, unknown: Sequence[str] = ()) -> None:
        with self._lock:
            self._until = 0.0 if unknown else time.monotonic() + seconds
        self._say(text, "")

    def start(self, stage: str, number: int, total: int) -> None:
        with self._lock:
            self._rows += [_Row(stage)] if stage not in [row.stage for row in self._rows] else []
            self._now = next(row for row in self._rows if row.stage == stage)
            self._now.state = "runs"
            self._since, self._pace = time.monotonic(), Pace()
            self._doing, self._share, self._training = "", None, None
        self._draw()

    def end(self, cache: str, seconds: float) -> None:
        with self._lock:
            if self._now is not None:
                self._now.state = "hit" if cache == "hit" else "done"
                self._now.detail = "from the cache" if cache == "hit" else ""
                self._now.seconds = seconds
            self._now = None

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        with self._lock:
            self._doing = self._pace.described(what, done, total, unit)
            self._share = (done, total) if total else None
        self._draw()

    def loss(self, what: str, value: float) -> None:
        with self._lock:
            if self._training is None or self._training.what != what:
                self._training = _Training(what)
            self._training.step(value)

    def epoch(self, what: str, number: int, total: int, figures: Mapping[str, float]) -> None:
        with self._lock:
            if self._training is not None:
                self._training.epoch = dict(figures)

    def note(self, text: str) -> None:
        with self._lock:
            stage = self._now.stage if self._now else ""
        self._say(text, stage)

    def finish(self) -> None:
        self._stop()

    def fail(self, status: str, message: str) -> None:
        """Without the message, which is shown elsewhere."""
        with self._lock:
            if self._now is not None:
                self._now.state, self._now.detail = "failed", status
                self._now.seconds = time.monotonic() - self._since
            self._now = None
        self._stop()

    def clear(self) -> None:
        self._stop()

    # -------------------------------------------------------------- drawing

    def _draw(self) -> None:
        """What was told, unless it has just been drawn: a thread of ``Live`` will do it."""
        now = time.monotonic()
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._screen,
                refresh_per_second=_EACH_SECOND,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        elif now - self._drawn < _EVERY:
            return
        self._drawn = now
        self._live.refresh()

    def _stop(self) -> None:
        """The last drawing of a run stays; what belongs to none goes."""
        if self._live is not None:
            live, self._live = self._live, None
            live.transient = not self._rows
            live.stop()

    def _say(self, text: str, stage: str) -> None:
        """Lines that stay, above the list."""
        style = "yellow" if text.startswith(WARNING) else ""
        lines = Text("\n".join(map(self._readable, text.splitlines())), style)
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=NAME + 1, no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(Text(stage, "dim"), lines)
        self._measure()
        self._console.print(table if stage else lines)

    def _measure(self) -> None:
        """Take the terminal's size as it is now. Left to itself, ``Console`` asks descriptors that
        may lead into a log."""
        with suppress(OSError, ValueError):
            found = os.get_terminal_size(self._console.file.fileno())
            self._console.size = (found.columns or 80, found.lines or 25)

    def _screen(self) -> RenderableType:
        self._measure()
        with self._lock:
            working = [*self._at_work()]
            if not self._rows:  # a command that has no stages
                return Group(*working[:1])
            room = self._console.size.height - 1 - len(working) - 1
            rows = self._rows
            if self._now is not None and len(rows) > room:  # the terminal is low
                rows = [self._now]
            ends = [self._time()] if self._now is not None else []
            return Group(self._listed(rows, working), *ends)

    def _listed(self, rows: Sequence[_Row], working: Sequence[RenderableType]) -> Table:
        table = Table.grid(padding=(0, 1, 0, 0), expand=True)
        table.add_column(width=1)
        table.add_column(width=NAME, no_wrap=True)
        table.add_column(width=9, justify="right", no_wrap=True)
        table.add_column(ratio=1, no_wrap=True, overflow="crop")
        for row in rows:
            at_work = row is self._now and row.state == "runs"
            first, *more = (working if at_work else None) or [self._ended(row)]
            table.add_row(*self._stage(row), first)
            for line in more:
                table.add_row("", "", "", line)
        return table

    def _stage(self, row: _Row) -> list[RenderableType]:
        """Its mark, name and seconds."""
        mark, style = _MARKS[row.state]
        seconds = time.monotonic() - self._since if row.state == "runs" else row.seconds
        return [
            Text(mark, style),
            Text(row.stage, "dim" if row.state == "waits" else ""),
            Text(_taken(seconds) if row.state in ("runs", "done", "failed") else ""),
        ]

    def _ended(self, row: _Row) -> Text:
        return Text(row.detail, "dim" if row.state == "hit" else _MARKS[row.state][1])

    def _at_work(self) -> Iterator[RenderableType]:
        """What the stage is doing, how far it is, how it learns."""
        if not self._doing:
            return
        yield Text(self._readable(self._doing))
        if self._share is not None:
            done, total = self._share
            yield ProgressBar(total=max(total, done), completed=done, width=_BAR)
        if self._training is not None:
            yield self._learning(self._training)

    def _learning(self, training: _Training) -> Text:
        figures = {"loss": fmean(training.latest)}
        figures |= {n: value for n, value in training.epoch.items() if n.startswith("val_")}
        said = Text("  ".join(f"{name} {value:.3g}" for name, value in figures.items()))
        return said.append("  ").append(sparkline(training.losses, _POINTS), "cyan")

    def _time(self) -> Text:
        """How long the run has been at work, and how long it will be, where that is known."""
        now = time.monotonic()
        left = self._until - now
        more = f", about {clock(left)} left" if left >= 1 else ""
        return Text(f"  {clock(now - self._began)} so far{more}", "dim")

    def _readable(self, text: str) -> str:
        """As the stream will write it, for so wide it is."""
        return printable(text).encode(self._encoding, READABLE).decode(self._encoding)


def _taken(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)
