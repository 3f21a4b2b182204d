"""Files that are read once, however often they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Value = TypeVar("Value")
_State = tuple[int, int, int, int]


class Once(Generic[Value]):
    """``read`` of a path, called again only for a file that is not the one it was.

    A file is another one when it was replaced, or its size or its time of change differ. What was
    read of the last ``keep`` paths is kept, and given to whoever asks: nobody may change it.
    """

    def __init__(self, read: Callable[[Path], Value], keep: int = 2) -> None:
        self._read, self._keep = read, keep
        self._found: OrderedDict[Path, tuple[_State, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, path: Path) -> Value:
        """Raises what ``read`` raises; then nothing is kept."""
        with self._lock:
            state = _state(path)  # from before it is read: what changes meanwhile is read again
            real = path.resolve()
            known = self._found.pop(real, None)
            if known is None or state is None or known[0] != state:
                value = self._read(path)
            else:
                value = known[1]
            if state is not None:
                self._found[real] = state, value
            while len(self._found) > self._keep:
                self._found.popitem(last=False)
            return value


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
