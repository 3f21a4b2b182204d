"""The process around a stage: where its output goes, and how it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tfedge.errors import TfedgeError
from tfedge.files.artifact import no_space
from tfedge.files.streams import OutputRefused

_AGAIN = 0.05  # seconds
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to the end of a file: TensorFlow writes there from C++, past
    ``sys.stdout``, and so do the processes that a stage starts. ArtifactError when what is printed
    can't be written there."""
    _flush()
    saved = os.dup(1), os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                try:
                    yield
                finally:
                    _flush()
            except OutputRefused as error:  # which does not know where its descriptor leads
                raise no_space(log) from error
            finally:
                os.dup2(saved[0], 1)
                os.dup2(saved[1], 2)
    finally:
        for descriptor in saved:
            os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


class Stop:
    """Whether the user, or the system, has asked the run to stop."""

    def __init__(self) -> None:
        self.asked = False
        self.cleaning = False  # from here on another Ctrl-C must not break the cleaning up
        self.over = False
        self._number = int(signal.SIGINT)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked, self._number = True, number
        if not self.cleaning:
            raise KeyboardInterrupt

    def once_more(self) -> None:
        """Ask again, in a moment, in the main thread."""
        main = threading.main_thread().ident or 0

        def interrupt() -> None:
            if not (self.cleaning or self.over):
                signal.pthread_kill(main, self._number)  # a wait ends by it, too

        timer = threading.Timer(_AGAIN, interrupt)
        timer.daemon = True
        timer.start()

    def unraised(self, told: Any) -> bool:
        """Whether Python could not raise the KeyboardInterrupt where it stood, as in what runs when
        a weak reference dies."""
        return self.asked and issubclass(told.exc_type, KeyboardInterrupt)


_at_work = threading.Lock()


@contextmanager
def one_run() -> Iterator[None]:
    """For one run at a time in a process: TensorFlow's random state and session are the process's.

    TfedgeError while another thread is in such a block.
    """
    if not _at_work.acquire(blocking=False):
        raise TfedgeError(
            "another run is at work in this process", "wait for it, or start another process"
        )
    try:
        yield
    finally:
        _at_work.release()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Let Ctrl-C, SIGTERM and a closed terminal all raise KeyboardInterrupt.

    In the main thread only, where Python handles signals; afterwards all are as they were. One that
    arrives where Python can't raise it is raised a moment later.
    ``asked`` stays true even if a library turns the exception into one of its own.
    """
    stop, before, unraisable = Stop(), {}, sys.unraisablehook

    def hook(told: Any) -> None:
        if stop.unraised(told):
            stop.once_more()
        else:
            unraisable(told)

    if threading.current_thread() is threading.main_thread():  # only there can signals be handled
        for number in _STOPPING:
            found = signal.getsignal(number)
            # Ignored: by nohup, or a job in the background. None: set by C code, for good reasons.
            if found is not signal.SIG_IGN and found is not None:
                before[number] = signal.signal(number, stop)
        sys.unraisablehook = hook
    try:
        yield stop
    finally:
        stop.over = True
        if sys.unraisablehook is hook:
            sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside, what libraries write to standard error by themselves goes nowhere, as LiteRT's word
    on its delegate; what Python writes to ``sys.stderr`` is shown as ever."""
    try:
        ours = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # replaced, as in a notebook
        ours = False
    before, saved, nowhere = sys.stderr, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    shown = None
    if ours:
        before.flush()
        shown = sys.stderr = os.fdopen(
            os.dup(saved), "w", buffering=1, encoding=before.encoding, errors=before.errors
        )
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        if shown is not None:
            sys.stderr = before
            shown.close()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
