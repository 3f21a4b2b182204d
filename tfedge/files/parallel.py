"""Threads for work that lets go of the GIL: hashing, decoding."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """``(item, function(item))`` in the order of ``items``, computed on all cores.

    At most ``ahead`` results are held, which bounds the memory. An error in ``function``, or the
    end of the loop that reads this, drops what has not begun.
    """
    # Not needed when all is cached, as in a dry run, which has no time for numpy.
    from concurrent.futures import Future, ThreadPoolExecutor

    pool = ThreadPoolExecutor(cores())
    running: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            running.append((item, pool.submit(function, item)))
            if len(running) >= ahead:
                first, future = running.popleft()
                yield first, future.result()
        while running:
            first, future = running.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
