"""Standard output and standard error of a command: closed, full, or in another encoding.

What is written to standard output is the result: when it can't be written, the command fails, with
a message. Standard error only tells: what can't be told there is left out. Characters that an
encoding does not have are written in another way: ``->``, ``...``, ``\\u732b``.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tfedge.errors import ArtifactError
from tfedge.files.artifact import out_of_space
from tfedge.files.terminal import READABLE, encoding_of

_OUTPUT = "standard output"


class OutputRefused(ArtifactError):
    """Standard output can't be written: its disk is full."""


class OutputClosed(Exception):
    """Who read standard output has gone, as ``head`` does."""


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and error in such streams; those that somebody has replaced stay as they are.

    A stream that was closed is opened to nowhere: else the next file would get its number, and be
    written to by whatever prints.
    """
    _hold()
    before = sys.stdout, sys.stderr
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(1, sys.stdout, _OUTPUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(2, sys.stderr, "")
    try:
        yield
    finally:
        for stream, old in zip((sys.stdout, sys.stderr), before, strict=True):
            if stream is not old:
                stream.flush()  # what can't be written is known by now
        sys.stdout, sys.stderr = before


def terminal() -> TextIO:
    """Standard error as it is now, also while descriptor 2 leads elsewhere."""
    sys.stderr.flush()
    return _text(os.dup(2), sys.stderr, "", close=True)


def output() -> TextIO:
    """Standard output as it is now, also while descriptor 1 leads elsewhere."""
    sys.stdout.flush()
    return _text(os.dup(1), sys.stdout, _OUTPUT, close=True)


def together() -> bool:
    """Whether standard output and standard error lead to the same place."""
    try:
        return os.path.sameopenfile(1, 2)
    except OSError:
        return False


def _text(descriptor: int, like: TextIO | None, needed: str, close: bool = False) -> TextIO:
    raw = _Stream(descriptor, needed, close)
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding_of(like), READABLE, line_buffering=True)


class _Stream(io.FileIO):
    """After the first failure nothing is written any more, so that closing it can't fail, too.

    ``needed`` is the stream's name in a message; empty for one that may be lost.
    """

    def __init__(self, descriptor: int, needed: str, close: bool) -> None:
        super().__init__(descriptor, "wb", closefd=close)
        self._needed, self._lost = needed, False

    def write(self, data: Any) -> int:
        """How many bytes were written; all of them, if the stream is lost."""
        size = memoryview(data).nbytes
        if self._lost:
            return size
        try:
            return super().write(data)
        except OSError as error:
            self._lost = True
            if not self._needed:
                return size
            if isinstance(error, BrokenPipeError):
                raise OutputClosed from error
            full = "no space left on this disk" if out_of_space(error) else str(error.strerror)
            raise OutputRefused(self._needed, full, "write it to another place") from error


def _hold() -> None:
    """Let descriptors 0, 1 and 2 be open."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
