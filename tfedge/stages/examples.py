"""A run's task and its examples, as the stages open them."""

from __future__ import annotations

from tfedge.core.context import Context
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Examples, Metric, Work
from tfedge.tasks.work import work_of


def task_work(ctx: Context) -> Work:
    """The numpy half of the run's task."""
    return work_of(task_of(ctx.pipeline.task))


def primary_of(ctx: Context) -> Metric:
    """What models are compared by."""
    return task_of(ctx.pipeline.task).primary


def examples_of(ctx: Context) -> Examples:
    """Those of the run's index."""
    index = ctx.inputs["data/index.json"]
    return task_work(ctx).examples(index, ctx.pipeline.data, ctx.data_root, ctx.cache)
