"""How each phase of a model answers examples that were made harder."""

from __future__ import annotations

from tfedge.core.outputs import Evaluation, Gap
from tfedge.tasks.blocks import Block, Table, Text, bold, p_text
from tfedge.tasks.task import Metric, Task

_ROUNDING = 1e-6  # 0.87 - 0.90 is a little less than -0.03 in binary
WIDE_GAP = 0.03  # of the primary metric below float, that is marked


def robustness(evaluation: Evaluation, task: Task) -> list[Block]:
    """The primary metric of each phase, the shipped file last, under each corruption."""
    found = evaluation.robustness
    if found is None:
        return [Text("Not measured: `evaluate.robustness` is 0.")]
    metric, models = task.primary, found.models
    last, losses = next(reversed(models)), found.against_float or {}
    rows = [
        [
            name if name != "none" else "as they are",
            *(metric.figure(value[name]) for value in models.values()),
            *([_gap(losses[name], metric)] if losses else []),
        ]
        for name in models[last]
    ]
    head = ["examples with", *models]
    better = f"{last} − float" if metric.higher else f"float − {last}"
    head += [f"{better}{', points' if metric.share else ''}"] if losses else []
    limit = metric.difference(WIDE_GAP)
    marked = f" Bold: more than {limit} worse than float." if losses and metric.share else ""
    if found.trained_with:
        known = " and ".join(found.trained_with)
        marked += f" Training after float has shown others with {known}, too."
    return [
        Text(
            f"{metric.title} on {found.n} of the examples, made harder one way at "
            f"a time, the same for each ({task.harder}); "
            f"the last of them, {last}, is the shipped file.{marked}"
        ),
        Table(head, rows),
    ]


def _gap(loss: Gap, metric: Metric) -> object:
    gap = f"{100 * loss.gap:+.1f}" if metric.share else f"{loss.gap:+.4g}"
    text = f"{gap} (p {p_text(loss.p)})"
    wide = metric.share and loss.gap < -WIDE_GAP - _ROUNDING
    return bold(text) if wide else text
