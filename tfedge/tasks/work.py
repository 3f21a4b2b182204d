"""A task's numpy half, imported when it is first asked for."""

from __future__ import annotations

from functools import cache

from tfedge.files.imports import imported
from tfedge.tasks.task import Task, Work


@cache
def work_of(task: Task) -> Work:
    """What says what a model's outputs mean in this task."""
    made: Work = imported(task.work)()
    return made
