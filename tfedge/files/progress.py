"""What long work reports its progress on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from tfedge.errors import TfedgeError
from tfedge.files.streams import OutputClosed


class Progress(Protocol):
    """Where long work says how far it is. Drawn by ``core/progress.py``; silent in unit tests."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        """``done`` of ``total`` (images, steps …); rate and time left are worked out from it."""

    def loss(self, what: str, value: float) -> None:
        """The loss of the step that the training ``what`` has just done."""

    def epoch(self, what: str, number: int, total: int, figures: Mapping[str, float]) -> None:
        """The training ``what`` has ended an epoch, the ``number``-th of ``total``, counted from 1,
        with these figures."""

    def note(self, text: str) -> None:
        """One line the user should read: a decision, a warning, a measured number."""


class NoProgress:
    """Progress that says nothing."""

    def update(self, what: str, done: int, total: int, unit: str = "") -> None:
        return

    def loss(self, what: str, value: float) -> None:
        return

    def epoch(self, what: str, number: int, total: int, figures: Mapping[str, float]) -> None:
        return

    def note(self, text: str) -> None:
        return


SECONDS = "s"  # the unit of what a heartbeat counts


@contextmanager
def heartbeat(progress: Progress, what: str, every: float = 1.0) -> Iterator[None]:
    """Inside, say every second for how long ``what`` has been going on: for work in a library that
    does not tell how far it is. What ``progress`` raises ends only the saying."""
    began, over = time.monotonic(), threading.Event()

    def beat() -> None:
        # They come again where the work itself says something, and end it there.
        with suppress(OSError, OutputClosed, TfedgeError):
            while not over.wait(every):
                progress.update(what, round(time.monotonic() - began), 0, SECONDS)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
