"""A run's task and its examples, as the stages open them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfedge.core.context import Context
from tfedge.errors import DataError
from tfedge.tasks import work
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Examples, Metric, Work

_CHUNK = 256  # examples in memory at a time


def work_of(ctx: Context) -> Work:
    """The numpy half of the run's task."""
    return work.work_of(task_of(ctx.pipeline.task))


def primary_of(ctx: Context) -> Metric:
    """What models are compared by."""
    return task_of(ctx.pipeline.task).primary


def examples_of(ctx: Context) -> Examples:
    """Those of the run's index."""
    index = ctx.inputs["data/index.json"]
    return work_of(ctx).examples(index, ctx.pipeline.data, ctx.data_root, ctx.cache)


def evaluation_split(examples: Examples) -> str:
    """``test`` when there is one, else ``val``. DataError when there is neither."""
    for split in ("test", "val"):
        if examples.has(split):
            return split
    raise DataError(["no examples to evaluate on: neither val nor test"], "set data.split.val")


class Stream:
    """The inputs of many examples for ``predict``, in memory a chunk at a time."""

    def __init__(self, examples: Examples, rows: list[int]) -> None:
        self._examples, self._rows = examples, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._rows), _CHUNK):
            yield from self._examples.inputs(self._rows[start : start + _CHUNK])
