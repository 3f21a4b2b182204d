"""What a run left behind, read from its stages' folders; None for what was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tfedge.benchmark.compare import compare, differences
from tfedge.benchmark.measurements import Measurements
from tfedge.benchmark.result import Result
from tfedge.benchmark.speed import is_slower, pairs
from tfedge.catalog.recipes import FLOAT, quantizing
from tfedge.core.context import Origin
from tfedge.core.outputs import (
    Base,
    Clusters,
    Debug,
    Distillation,
    Epochs,
    Evaluation,
    History,
    Kind,
    LayerComparison,
    ModelFile,
    ModelMetrics,
    Quantized,
    Sparsity,
    read,
)
from tfedge.errors import ArtifactError
from tfedge.files.files import in_short
from tfedge.files.text import size_text
from tfedge.report import sparse, trained
from tfedge.report.markup import milliseconds, threads_text
from tfedge.report.slower import slower_text
from tfedge.tasks.blocks import percent
from tfedge.tasks.table import DEFAULT, task_of
from tfedge.tasks.task import Examples, Metric, Task
from tfedge.tasks.work import work_of

BLAMED = 3  # layers that a quick look names
LOCAL = "local"  # the device that need not be named


@dataclass(frozen=True)
class Facts:
    """``result`` is run.json; the others are the files of the stages, by their names."""

    run_dir: Path
    result: Mapping[str, Any]
    index: Path | None  # the task reads it
    audit: Path | None  # … and this one
    base: Base | None
    history: History | None
    distill: Distillation | None
    pruning: Epochs | None
    sparsity: Sparsity | None
    clustering: Epochs | None
    clusters: Clusters | None
    quantize: Quantized | None
    model: ModelFile | None
    float_bytes: int | None
    debug: LayerComparison | None  # None, too, when there was no need to compare layers
    metrics: Evaluation | None
    benchmark: tuple[Result, ...]
    gaps: Mapping[str, str]  # optional devices that were away, and why
    origin: Origin | None = None  # where the examples lie, and what was asked for

    @property
    def task(self) -> Task:
        """The row of the run's task."""
        return task_of(self.result.get("task", DEFAULT))

    @cached_property
    def examples(self) -> Examples | None:
        """Those of the run; None where they are not at hand."""
        origin = self.origin
        if origin is None or origin.data_root is None or origin.cache is None or not self.index:
            return None
        data = origin.pipeline.data
        return work_of(self.task).examples(self.index, data, origin.data_root, origin.cache)

    @property
    def shipped(self) -> str:
        """``int8`` or ``float``: the kind of model.tflite."""
        return quantizing(self.model.recipe if self.model else FLOAT.name).ships

    @property
    def mixed(self) -> bool:
        """Whether layers were kept above 8 bits, or compared."""
        return bool(self.debug or (self.model and self.model.kept))

    @property
    def threads(self) -> list[int]:
        """The numbers of threads measured, in their order."""
        return list(dict.fromkeys(result.threads for result in self.benchmark))

    @property
    def devices(self) -> list[str]:
        """The devices measured on, in their order."""
        return list(dict.fromkeys(result.device for result in self.benchmark))

    def latency(self, model: str, device: str, threads: int) -> Result | None:
        wanted = (model, device, threads)
        chosen = [r for r in self.benchmark if (r.model, r.device, r.threads) == wanted]
        return chosen[0] if chosen else None


def gather(run_dir: Path, result: Mapping[str, Any], origin: Origin | None = None) -> Facts:
    """Read the run. ArtifactError for a file that is there and is not what it must be."""

    def there(file: str) -> Path | None:
        return run_dir / file if (run_dir / file).is_file() else None

    def left(file: str, kind: type[Kind]) -> Kind | None:
        path = there(file)
        return None if path is None else read(path, kind)

    plain, debug = there("convert/float.tflite"), left("debug/debug.json", Debug)
    measured = there("benchmark/benchmark.json")
    benchmark = Measurements.read(measured) if measured else Measurements()
    metrics = left("evaluate/metrics.json", Evaluation)
    if metrics:
        _check(metrics, task_of(result.get("task", DEFAULT)), run_dir / "evaluate/metrics.json")
    return Facts(
        run_dir=run_dir,
        result=result,
        index=there("data/index.json"),
        audit=there("data/audit.json"),
        base=left("backbone/base.json", Base),
        history=left("finetune/history.json", History),
        distill=left("distill/distill.json", Distillation),
        pruning=left("prune/history.json", Epochs),
        sparsity=left("prune/sparsity.json", Sparsity),
        clustering=left("cluster/history.json", Epochs),
        clusters=left("cluster/clusters.json", Clusters),
        quantize=left("quantize/quantize.json", Quantized),
        model=left("convert/model.json", ModelFile),
        float_bytes=plain.stat().st_size if plain else None,
        debug=debug.root if debug and isinstance(debug.root, LayerComparison) else None,
        metrics=metrics,
        benchmark=benchmark.results,
        gaps=benchmark.gaps,
        origin=origin,
    )


def _check(metrics: Evaluation, task: Task, path: Path) -> None:
    """ArtifactError unless each model has the figures that its task is told by."""
    for metric in (task.primary, *task.beside):
        try:
            metrics.values(metric)
        except (AttributeError, TypeError, ValueError) as error:
            what = f"tells no {metric.label} of a model: {in_short(error)}"
            raise ArtifactError(path, what, "run the pipeline again") from error


def proposals(facts: Facts) -> list[str]:
    """What to try, as far as the figures say it."""
    return facts.metrics.proposals if facts.metrics else []


def warnings(facts: Facts) -> list[str]:
    """What a reader of the numbers must know; those about the examples are left to the report."""
    found = [*_training(facts), *(facts.metrics.warnings if facts.metrics else [])]
    if facts.model and quantizing(facts.model.recipe).float_activations:
        others = "; for others, and to see which is faster, quantize.recipe: ptq"
        found.append(
            "int8 has 8-bit weights and float activations: it is for processors with fast float "
            f"arithmetic{'' if facts.base and facts.base.frozen else others}"
        )
    found += harmed(facts.debug) if facts.debug else []
    found += _worse(facts.distill, facts.task.primary) if facts.distill else []
    found += unstable(facts.benchmark)
    found += [f"{name} was not measured: {why}" for name, why in facts.gaps.items()]
    found += [slower_text(*both) for both in pairs(facts.benchmark) if is_slower(*both)]
    for dense, shipped in sparse_pairs(facts):
        if not sparse.is_faster(dense, shipped):
            where = f"{shipped.device}, {threads_text(shipped.threads)}"
            reason = sparse.why_not(shipped)
            found.append(
                f"the zeros make the shipped float model no faster on {where}"
                + (f": {reason}" if reason else "")
            )
    return found


def unstable(results: Sequence[Result]) -> list[str]:
    """Of which of these measurements the samples are too far apart, and how."""
    elsewhere = {result.device for result in results} != {LOCAL}
    return [
        f"latency of {result.model} on {f'{result.device}, ' if elsewhere else ''}"
        f"{threads_text(result.threads)} is unstable: {reason}"
        for result in results
        for reason in result.unstable
    ]


def _training(facts: Facts) -> list[str]:
    """What the stages have warned of when they had trained."""
    metric, said = facts.task.primary, []
    if facts.history is not None:
        said.append(trained.of_float(facts.history, metric))
    for stage, output in (("prune", facts.sparsity), ("cluster", facts.clusters)):
        if output is not None and output.trained is not None:
            said.append(trained.of_retraining(stage, output.trained, metric))
    if facts.quantize is not None and facts.quantize.trained is not None:
        said.append(trained.of_8_bits(facts.quantize.trained, metric))
    return [one.text for one in said if one.warning]


def harmed(debug: LayerComparison) -> list[str]:
    """The layers that a quick look blames; what was asked for has a table of its own."""
    if not debug.quick:
        return []
    worst = [row for row in debug.layers if row.kept == "int8"][:BLAMED]
    names = ", ".join(f"{row.unit} ({1000 * row.divergence:.1f})" for row in worst)
    changed = round((1 - debug.now.agreement) * debug.n)
    return [
        f"8 bits change the answer to {changed} of {debug.n} {debug.split} examples; they "
        f"harm {names} most (in thousandths of a nat): quantize.keep keeps layers in float, "
        "quantize.debug: true measures which are worth it"
    ]


def sparse_pairs(facts: Facts) -> list[tuple[Result, Result]]:
    """The dense and the sparse float model, wherever both were measured."""
    both = [
        (facts.latency(sparse.DENSE, device, n), facts.latency("float", device, n))
        for device in facts.devices
        for n in facts.threads
    ]
    return [(dense, shipped) for dense, shipped in both if dense and shipped]


def _worse(distill: Distillation, metric: Metric) -> list[str]:
    """A teacher that knows less than the model it teaches."""
    teacher, plain = distill.val_accuracy, distill.plain.val_accuracy
    if metric.lost(plain, teacher) <= 0:
        return []
    split = distill.chose_weights_on or "val"
    return [
        f"the teacher, {distill.name}, is worse than the float model on the "
        f"{split} examples: {metric.figure(teacher)} against {metric.figure(plain)} "
        "(distill.teacher: float takes that one)"
    ]


Row = tuple[str, str, str, str]  # what, float, int8, remark


def comparison(facts: Facts, interval: bool) -> list[Row]:
    """Float against int8; the column of what was not made or measured is empty.

    ``interval`` adds the 95 % confidence interval to the primary metric.
    """
    rows = [*_accuracy(facts, interval), *_size(facts)]
    rows += [
        row for name in facts.devices for n in facts.threads for row in _latency(facts, name, n)
    ]
    rows += [(f"latency, {name}", "", "", "not measured: it was away") for name in facts.gaps]
    if facts.model and facts.model.sparsity is not None:
        share = percent(facts.model.sparsity)
        rows.append(_shipped(facts, "zeros", share, "of all prunable weights, in the file"))
    return rows


def _shipped(facts: Facts, what: str, value: str, remark: str = "") -> Row:
    """A row with a value for the shipped model only."""
    return (what, value, "", remark) if facts.shipped == "float" else (what, "", value, remark)


def _accuracy(facts: Facts, interval: bool) -> list[Row]:
    metrics = facts.metrics
    if not metrics:
        return []
    models = [metrics.plain, metrics.int8]
    count = f"{metrics.n} {metrics.split} examples"
    rows: list[Row] = []
    for metric in (facts.task.primary, *facts.task.beside):
        plain, int8 = (figure(metric, model, interval) if model else "" for model in models)
        rows.append((metric.label, plain, int8, "" if rows else count))
    if metrics.agreement is not None:
        rows.append(("same answer as float", "", percent(metrics.agreement), ""))
    return rows


def figure(metric: Metric, metrics: ModelMetrics, interval: bool = True) -> str:
    """A metric of a model, with its 95 % interval where it has one."""
    told, between = metric.figure(metrics.value(metric)), metrics.interval(metric)
    if not interval or between is None:
        return told
    return f"{told} [{', '.join(metric.plain(end) for end in between)}]"


def _size(facts: Facts) -> list[Row]:
    if not facts.model:
        return []
    model, float_bytes = facts.model, facts.float_bytes or 0
    sizes = [
        ("size", model.bytes, float_bytes),
        ("size, deflated", model.deflated, model.float_deflated),
    ]
    if facts.shipped == "float" or not float_bytes:
        dense = float_bytes and sparse_pairs(facts)
        return [
            _shipped(facts, what, size_text(size), f"{size / plain:.2f} of dense" if dense else "")
            for what, size, plain in sizes
        ]
    return [
        (what, size_text(plain), size_text(size), f"{size / plain:.2f} of float")
        for what, size, plain in sizes
    ]


def _latency(facts: Facts, device: str, threads: int) -> list[Row]:
    plain, int8 = (facts.latency(model, device, threads) for model in ("float", "int8"))
    texts = [milliseconds(result) if result else "" for result in (plain, int8)]
    both = plain is not None and int8 is not None and not differences(plain, int8)
    remark = str(compare(plain, int8)) if both and plain and int8 else ""
    where = "" if facts.devices == [LOCAL] and not facts.gaps else f"{device}, "
    name = f"latency, {where}{threads_text(threads)}"
    dense = facts.latency(sparse.DENSE, device, threads)
    if dense and plain:
        shipped = (name, texts[0], "", sparse.verdict(dense, plain))
        return [shipped, (f"{name}, dense", milliseconds(dense), "", "")]
    return [(name, texts[0], texts[1], remark)]
