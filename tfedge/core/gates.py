"""``evaluate.gates``: limits on what was measured on the shipped file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from tfedge.benchmark.result import Result
from tfedge.core.result import StageResults
from tfedge.errors import GateFailed
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.table import task_of

_ROUNDING = 1e-9  # 0.30 - 0.28 is a little more than 0.02 in binary

Failure = tuple[str, str, str]  # gate, limit, got


def check(
    pipeline: Pipeline,
    stage: str,
    made: Callable[[], StageResults],
    stages: Collection[str] = (),
) -> None:
    """Hold what was measured up to ``stage`` against the gates; GateFailed names all that fail.

    ``made`` gives what the stages so far have left; ``stages`` are all of this run. Where debug is
    one of them, accuracy waits for it: it names the layers that cost the accuracy that a gate
    misses.
    """
    accuracy = "debug" if "debug" in stages else "evaluate"
    checks = {accuracy: _accuracy_and_size, "benchmark": _latency}
    if pipeline.evaluate is None or stage not in checks:
        return
    failures = list(checks[stage](pipeline, made()))
    if failures:
        gate, limit, got = (", ".join(column) for column in zip(*failures, strict=True))
        hint = "the report says where it is lost; the gates stand in evaluate.gates"
        raise GateFailed(gate, limit, got, hint)


def _accuracy_and_size(pipeline: Pipeline, made: StageResults) -> Iterator[Failure]:
    assert pipeline.evaluate is not None and made.metrics is not None
    gates, metric = pipeline.evaluate.gates, task_of(pipeline.task).primary
    value = made.metrics.values(metric)
    if gates.min_accuracy is not None:
        got = value[made.metrics.shipped]
        if metric.lost(gates.min_accuracy, got) > _ROUNDING:
            yield "min_accuracy", f"{gates.min_accuracy:g}", f"{got:.4g}"
    shipped = made.metrics.models[made.metrics.shipped]
    for name, own in task_of(pipeline.task).least.items():
        limit = getattr(gates, name)
        if limit is not None and own.lost(limit, shipped.value(own)) > _ROUNDING:
            whose = shipped.whose(own)
            yield name, f"{limit:g}", f"{shipped.value(own):.4g}" + (f" ({whose})" if whose else "")
    for name, own in task_of(pipeline.task).may_lose.items():
        limit, both = getattr(gates, name), made.metrics.values(own)
        if limit is not None and own.lost(both["float"], both["int8"]) > limit + _ROUNDING:
            yield name, f"{limit:g}", f"{own.lost(both['float'], both['int8']):.4g}"
    if gates.max_accuracy_drop is not None:
        got = metric.lost(value["float"], value["int8"])
        if got > gates.max_accuracy_drop + _ROUNDING:
            yield "max_accuracy_drop", f"{gates.max_accuracy_drop:g}", f"{got:.4g}"
    if gates.max_size is not None:
        assert made.model is not None
        if made.model.bytes > gates.max_size:
            yield "max_size", f"{gates.max_size:,} bytes", f"{made.model.bytes:,} bytes"


def _latency(pipeline: Pipeline, made: StageResults) -> Iterator[Failure]:
    assert pipeline.evaluate is not None and pipeline.benchmark is not None
    gates, threads = pipeline.evaluate.gates, pipeline.benchmark.threads[0]
    device = pipeline.benchmark.measured_on[0].name
    plural = "s" if threads > 1 else ""
    where = f"on {threads} thread{plural}" + ("" if device == "local" else f" of {device}")
    rows = [r for r in made.benchmark.results if (r.device, r.threads) == (device, threads)]
    if gates.max_latency is not None:
        yield from _slow(gates.max_latency, rows, made, where)
    if gates.min_speedup is not None:
        yield from _not_faster(gates.min_speedup, rows, where)


def _slow(
    limit: float, rows: Sequence[Result], made: StageResults, where: str
) -> Iterator[Failure]:
    """The shipped file is known by its digest, for its name depends on the recipe."""
    assert made.model is not None
    shipped = [row for row in rows if row.sha256 == made.model.sha256]
    if not shipped:
        yield "max_latency", f"{limit:g} ms", f"no measurement {where}"
    elif (got := shipped[0].summary.median / 1e6) > limit:
        yield "max_latency", f"{limit:g} ms", f"{got:.4g} ms {where}"


def _not_faster(limit: float, rows: Sequence[Result], where: str) -> Iterator[Failure]:
    from tfedge.benchmark import speed  # and numpy

    both = next(speed.pairs(rows), None)
    if both is None:
        yield "min_speedup", f"{limit:g}×", f"no measurement {where}"
    elif (got := speed.speedup(*both)) < limit:
        why = speed.causes(both[1])
        yield "min_speedup", f"{limit:g}×", f"{got:.3g}× {where}" + (f" ({why})" if why else "")
