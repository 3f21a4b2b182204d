"""The targets of ``package.targets``: flat rows."""

from __future__ import annotations

from collections.abc import Iterable

from tfedge.drops.android import ANDROID
from tfedge.drops.coral import CORAL
from tfedge.drops.linux import LINUX
from tfedge.drops.make import Target
from tfedge.errors import DropError
from tfedge.tasks.task import Task

TARGETS: dict[str, Target] = {row.name: row for row in (LINUX, ANDROID, CORAL)}


def targets_of(task: Task, names: Iterable[str]) -> list[Target]:
    """The rows of these names, each once. DropError for one that is not there, or that the task has
    no drop for."""
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in TARGETS]
    if unknown:
        raise DropError(f"no such target: {', '.join(unknown)}", f"one of: {', '.join(TARGETS)}")
    without = [name for name in wanted if name not in task.drops]
    if without:
        what = f"target {', '.join(without)}: the task {task.name} has no drop for it"
        known = [name for name in TARGETS if name in task.drops]
        raise DropError(what, f"one of: {', '.join(known)}" if known else "leave package out")
    return [TARGETS[name] for name in wanted]
