"""``evaluate.gates``: limits on what was measured on the shipped file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from tfedge.benchmark.result import Result
from tfedge.core.outputs import Evaluation
from tfedge.core.result import StageResults
from tfedge.errors import GateFailed
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Metric

_ROUNDING = 1e-9  # 0.30 - 0.28 is a little more than 0.02 in binary


class Gate(NamedTuple):
    """A limit, and what was measured."""

    name: str
    limit: str
    got: str
    passed: bool


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
    failures = [gate for gate in checks[stage](pipeline, made()) if not gate.passed]
    if failures:
        told = zip(*((gate.name, gate.limit, gate.got) for gate in failures), strict=True)
        gate, limit, got = map(", ".join, told)
        hint = "the report says where it is lost; the gates stand in evaluate.gates"
        raise GateFailed(gate, limit, got, hint)


def measured(pipeline: Pipeline, made: StageResults) -> list[Gate]:
    """Every gate of the pipeline that can be judged by what was made."""
    if pipeline.evaluate is None or made.metrics is None or made.model is None:
        return []
    timed = _latency(pipeline, made) if pipeline.benchmark and made.benchmark.results else ()
    return [*_accuracy_and_size(pipeline, made), *timed]


def _accuracy_and_size(pipeline: Pipeline, made: StageResults) -> Iterator[Gate]:
    assert pipeline.evaluate is not None and made.metrics is not None
    gates, metric = pipeline.evaluate.gates, task_of(pipeline.task).primary
    value = made.metrics.values(metric)
    if gates.min_accuracy is not None:
        got = value[made.metrics.shipped]
        passed = metric.lost(gates.min_accuracy, got) <= _ROUNDING
        yield Gate("min_accuracy", f"{gates.min_accuracy:g}", f"{got:.4g}", passed)
    shipped = made.metrics.models[made.metrics.shipped]
    for name, own in task_of(pipeline.task).least.items():
        limit = getattr(gates, name)
        if limit is not None:
            whose = shipped.whose(own)
            told = f"{shipped.value(own):.4g}" + (f" ({whose})" if whose else "")
            passed = own.lost(limit, shipped.value(own)) <= _ROUNDING
            yield Gate(name, f"{limit:g}", told, passed)
    for name, own in task_of(pipeline.task).may_lose.items():
        limit = getattr(gates, name)
        if limit is not None:
            yield _loss(name, limit, own, made.metrics)
    if gates.max_accuracy_drop is not None:
        yield _loss("max_accuracy_drop", gates.max_accuracy_drop, metric, made.metrics)
    if gates.max_size is not None:
        assert made.model is not None
        size = made.model.bytes
        passed = size <= gates.max_size
        yield Gate("max_size", f"{gates.max_size:,} bytes", f"{size:,} bytes", passed)


def _loss(name: str, limit: float, metric: Metric, found: Evaluation) -> Gate:
    """How much worse int8 may be than float."""
    value = found.values(metric)
    got = metric.lost(value["float"], value["int8"])
    return Gate(name, f"{limit:g}", f"{got:.4g}", got <= limit + _ROUNDING)


def _latency(pipeline: Pipeline, made: StageResults) -> Iterator[Gate]:
    assert pipeline.evaluate is not None and pipeline.benchmark is not None
    gates, threads = pipeline.evaluate.gates, pipeline.benchmark.threads[0]
    device = pipeline.benchmark.measured_on[0].name
    plural = "s" if threads > 1 else ""
    where = f"on {threads} thread{plural}" + ("" if device == "local" else f" of {device}")
    rows = [r for r in made.benchmark.results if (r.device, r.threads) == (device, threads)]
    if gates.max_latency is not None:
        yield _time(gates.max_latency, rows, made, where)
    if gates.min_speedup is not None:
        yield _speedup(gates.min_speedup, rows, where)


def _time(limit: float, rows: Sequence[Result], made: StageResults, where: str) -> Gate:
    """The shipped file is known by its digest, for its name depends on the recipe."""
    assert made.model is not None
    shipped = [row for row in rows if row.sha256 == made.model.sha256]
    if not shipped:
        return Gate("max_latency", f"{limit:g} ms", f"no measurement {where}", False)
    got = shipped[0].summary.median / 1e6
    return Gate("max_latency", f"{limit:g} ms", f"{got:.4g} ms {where}", got <= limit)


def _speedup(limit: float, rows: Sequence[Result], where: str) -> Gate:
    from tfedge.benchmark import speed  # and numpy

    both = next(speed.pairs(rows), None)
    if both is None:
        return Gate("min_speedup", f"{limit:g}×", f"no measurement {where}", False)
    got = speed.speedup(*both)
    why = speed.causes(both[1]) if got < limit else ""
    told = f"{got:.3g}× {where}" + (f" ({why})" if why else "")
    return Gate("min_speedup", f"{limit:g}×", told, got >= limit)
