"""How each phase of a model answers examples that were made harder."""

from __future__ import annotations

from collections.abc import Mapping

from tfedge.core.outputs import Evaluation, Gap
from tfedge.tasks.blocks import Bars, Block, Figure, Table, Text, bold, p_text
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
        *_bars(models[last], last, metric),
        Table(head, rows),
    ]


def _bars(values: Mapping[str, float], model: str, metric: Metric) -> list[Block]:
    """The shipped file's; of a metric of which less is better, too, since the title says so."""
    rows = [
        (name if name != "none" else "as they are", value, metric.figure(value))
        for name, value in values.items()
    ]
    title = f"{metric.title} of {model} on harder examples"
    if not rows or min(values.values()) < 0:  # bars begin at nothing
        return []
    return [Figure(title, Bars(rows, most=1.0 if metric.share else 0.0))]


def _gap(loss: Gap, metric: Metric) -> object:
    gap = f"{100 * loss.gap:+.1f}" if metric.share else f"{loss.gap:+.4g}"
    text = f"{gap} (p {p_text(loss.p)})"
    wide = metric.share and loss.gap < -WIDE_GAP - _ROUNDING
    return bold(text) if wide else text
