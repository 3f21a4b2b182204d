"""A run's progress as events, for programs: what ``events.jsonl`` and ``run --json`` hold.

Each event is an object that JSON can hold. ``core/events.schema.json`` describes them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfedge.core.progress import WARNING, RunProgress

Event = dict[str, Any]
_EVERY = 1.0  # seconds between two events of kind progress


class RunEvents(RunProgress):
    """A run's progress as events: ``run(..., progress=RunEvents(tell))`` calls ``tell`` with each,
    as it happens.

    ``{"time": Unix seconds, "event": kind, ...}``, of the kinds ``run start``, ``estimate``,
    ``start``, ``progress`` (at most one a second), ``epoch``, ``note``, ``warning``, ``end`` and
    ``run end``.
    """

    def __init__(self, tell: Callable[[Event], object]) -> None:
        self._tell = tell
        self._stage = ""
        self._updated = 0.0  # when a progress event was last told
        self._loss: float | None = None

    def event(self, event: str, **facts: Any) -> None:
        """Tell an event of this kind."""
        self._tell({"time": round(time.time(), 3), "event": event, **facts})

    def begin(self, stages: Sequence[str]) -> None:
        self.event("run start", stages=list(stages))

    def estimate(self, seconds: float, text: str, unknown: Sequence[str] = ()) -> None:
        facts: Event = {"seconds": round(seconds, 1), "unknown": list(unknown), "text": text}
        self.event("estimate", **facts)

    def start(self, stage: str, number: int, total: int) -> None:
        self._stage, self._loss = stage, None
        self.event("start", stage=stage, number=number, total=total)

    def end(self, cache: str, seconds: float) -> None:
        self.event("end", stage=self._stage, cache=cache, seconds=round(seconds, 3))
        self._stage = ""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        now = time.monotonic()
        if now - self._updated < _EVERY:
            return
        self._updated = now
        facts: Event = {"what": what, "done": done, "total": total, "unit": unit}
        if self._loss is not None:
            facts["loss"], self._loss = self._loss, None
        self.event("progress", stage=self._stage, **facts)

    def loss(self, what: str, value: float) -> None:
        self._loss = value

    def epoch(self, what: str, number: int, total: int, figures: Mapping[str, float]) -> None:
        facts: Event = {"what": what, "epoch": number, "epochs": total, "figures": dict(figures)}
        self.event("epoch", stage=self._stage, **facts)

    def note(self, text: str) -> None:
        kind = "warning" if text.startswith(WARNING) else "note"
        self.event(kind, stage=self._stage, text=text.removeprefix(WARNING))

    def finish(self) -> None:
        self.event("run end", status="ok")

    def fail(self, status: str, message: str) -> None:
        self.event("run end", stage=self._stage, status=status, message=message)
