"""A task's numpy half, imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from tfedge.tasks.task import Task, Work


@cache
def work_of(task: Task) -> Work:
    """What says what a model's outputs mean in this task."""
    module, _, name = task.work.partition(":")
    made: Work = getattr(import_module(module), name)()
    return made
