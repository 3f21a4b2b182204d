"""The tasks: a name and where its row is. A task is added by a line here and a folder beside it."""

from __future__ import annotations

from collections.abc import Sequence

from tfedge.files.imports import imported
from tfedge.tasks.task import Task

DEFAULT = "image-classification"

TASKS: dict[str, str] = {
    DEFAULT: "tfedge.tasks.image_classification.schema:TASK",
    "text-classification": "tfedge.tasks.text_classification.schema:TASK",
    "object-detection": "tfedge.tasks.object_detection.schema:TASK",
}


def task_of(name: str) -> Task:
    """The row of that name. KeyError if there is none."""
    row: Task = imported(TASKS[name])
    return row


def names() -> Sequence[str]:
    """All tasks, the default first."""
    return list(TASKS)
