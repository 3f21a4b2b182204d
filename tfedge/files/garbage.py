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
    million objects, and looking at them all takes a third of a second.

    What nobody refers to goes all the same; only a circle of such objects would not. Outside of a
    command nothing happens: what others have made by then might be such circles.
    """
    if _own.is_set():
        gc.freeze()
