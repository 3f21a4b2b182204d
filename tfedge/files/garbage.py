"""What Python's garbage collector need not look at again and again."""

from __future__ import annotations

import gc
import threading

_own = threading.Event()


def begin() -> None:
    """Say that this process is a command of tfedge's, and not somebody's notebook."""
    _own.set()


def keep() -> None:
    """What there is now stays to the end of a command's process: TensorFlow, once imported, is a
    million objects.

    Elsewhere nothing happens: what others have made by then would never be collected.
    """
    if _own.is_set():
        gc.freeze()
