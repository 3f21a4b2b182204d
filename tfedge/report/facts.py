"""What a run left behind, read from its stages' folders; None for what was not run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfedge.benchmark.compare import compare, differences
from tfedge.benchmark.result import Result
from tfedge.errors import ArtifactError
from tfedge.report import sparse
from tfedge.report.markup import milliseconds, size_text, threads_text
from tfedge.tasks.blocks import percent
from tfedge.tasks.table import DEFAULT, task_of
from tfedge.tasks.task import Metric, Task

BLAMED = 3  # layers that a quick look names
LOCAL = "local"  # the device that need not be named


@dataclass(frozen=True)
class Facts:
    """``result`` is run.json; the others are the files of the stages, by their names."""

    run_dir: Path
    result: Mapping[str, Any]
    index: Mapping[str, Any] | None
    audit: Mapping[str, Any] | None
    base: Mapping[str, Any] | None
    history: Mapping[str, Any] | None
    distill: Mapping[str, Any] | None
    pruning: list[Mapping[str, Any]] | None  # prune/history.json
    sparsity: Mapping[str, Any] | None
    clustering: list[Mapping[str, Any]] | None  # cluster/history.json
    clusters: Mapping[str, Any] | None
    quantize: Mapping[str, Any] | None
    model: Mapping[str, Any] | None
    float_bytes: int | None
    debug: Mapping[str, Any] | None  # None, too, when there was no need to compare layers
    metrics: Mapping[str, Any] | None
    benchmark: tuple[Result, ...]
    gaps: Mapping[str, str]  # optional devices that were away, and why

    @property
    def task(self) -> Task:
        """The row of the run's task."""
        return task_of(self.result.get("task", DEFAULT))

    @property
    def shipped(self) -> str:
        """``int8`` or ``float``: the kind of model.tflite."""
        return "int8" if self.model and self.model["recipe"] in ("qat", "ptq") else "float"

    @property
    def mixed(self) -> bool:
        """Whether layers were kept above 8 bits, or compared."""
        return bool(self.debug or (self.model and self.model.get("kept")))

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


def gather(run_dir: Path, result: Mapping[str, Any]) -> Facts:
    """Read the run. ArtifactError for a file that is there and is not what it must be."""
    plain = run_dir / "convert" / "float.tflite"
    path = run_dir / "benchmark" / "benchmark.json"
    try:
        benchmark, gaps = measurements(_json(path) or [])
    except (KeyError, TypeError) as error:
        raise ArtifactError(path, f"no list of measurements: {error!r}") from error
    return Facts(
        run_dir=run_dir,
        result=result,
        index=_json(run_dir / "data" / "index.json"),
        audit=_json(run_dir / "data" / "audit.json"),
        base=_json(run_dir / "backbone" / "base.json"),
        history=_json(run_dir / "finetune" / "history.json"),
        distill=_json(run_dir / "distill" / "distill.json"),
        pruning=_json(run_dir / "prune" / "history.json"),
        sparsity=_json(run_dir / "prune" / "sparsity.json"),
        clustering=_json(run_dir / "cluster" / "history.json"),
        clusters=_json(run_dir / "cluster" / "clusters.json"),
        quantize=_json(run_dir / "quantize" / "quantize.json"),
        model=_json(run_dir / "convert" / "model.json"),
        float_bytes=plain.stat().st_size if plain.is_file() else None,
        debug=_compared(_json(run_dir / "debug" / "debug.json")),
        metrics=_json(run_dir / "evaluate" / "metrics.json"),
        benchmark=benchmark,
        gaps=gaps,
    )


def measurements(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[Result, ...], dict[str, str]]:
    """benchmark.json: what was measured, and the devices that were away with the reason.

    KeyError or TypeError: it is no such list.
    """
    results = tuple(Result.from_json(dict(row)) for row in rows if "missing" not in row)
    return results, {row["device"]: row["missing"] for row in rows if "missing" in row}


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"can't be read: {error}") from error


def _compared(debug: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """debug.json, where layers were compared."""
    return debug if debug and "layers" in debug else None


def proposals(facts: Facts) -> list[str]:
    """What to try, as far as the figures say it."""
    return list(facts.metrics.get("proposals", [])) if facts.metrics else []


def warnings(facts: Facts) -> list[str]:
    """What a reader of the numbers must know; those about the examples are left to the report."""
    found = list(facts.metrics["warnings"]) if facts.metrics else []
    found += harmed(facts.debug) if facts.debug else []
    found += _worse(facts.distill) if facts.distill else []
    for result in facts.benchmark:
        where = "" if facts.devices == [LOCAL] else f"{result.device}, "
        what = f"latency of {result.model} on {where}{threads_text(result.threads)} is unstable"
        found += [f"{what}: {reason}" for reason in result.unstable]
    found += [f"{name} was not measured: {why}" for name, why in facts.gaps.items()]
    for dense, shipped in sparse_pairs(facts):
        if not sparse.is_faster(dense, shipped):
            where = f"{shipped.device}, {threads_text(shipped.threads)}"
            reason = sparse.why_not(shipped)
            found.append(
                f"the zeros make the shipped float model no faster on {where}"
                + (f": {reason}" if reason else "")
            )
    return found


def harmed(debug: Mapping[str, Any]) -> list[str]:
    """The layers that a quick look blames; what was asked for has a table of its own."""
    if not debug.get("quick"):
        return []
    worst = [row for row in debug["layers"] if row["kept"] == "int8"][:BLAMED]
    names = ", ".join(f"{row['unit']} ({1000 * row['divergence']:.1f})" for row in worst)
    changed = round((1 - debug["now"]["agreement"]) * debug["n"])
    return [
        f"8 bits change the answer to {changed} of {debug['n']} {debug['split']} examples; they "
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


def _worse(distill: Mapping[str, Any]) -> list[str]:
    """A teacher that knows less than the model it teaches."""
    teacher, plain = distill["val_accuracy"], distill["float"]["val_accuracy"]
    if teacher >= plain:
        return []
    split = distill["chose_weights_on"] or "val"
    return [
        f"the teacher, {distill['name']}, is worse than the float model on the "
        f"{split} examples: {percent(teacher)} against {percent(plain)} "
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
    if facts.model and facts.model["sparsity"] is not None:
        share = percent(facts.model["sparsity"])
        rows.append(_shipped(facts, "zeros", share, "of all prunable weights, in the file"))
    return rows


def _shipped(facts: Facts, what: str, value: str, remark: str = "") -> Row:
    """A row with a value for the shipped model only."""
    return (what, value, "", remark) if facts.shipped == "float" else (what, "", value, remark)


def _accuracy(facts: Facts, interval: bool) -> list[Row]:
    metrics = facts.metrics
    if not metrics:
        return []
    models = [metrics.get("float"), metrics.get("int8")]
    count = f"{metrics['n']} {metrics['split']} examples"
    rows: list[Row] = []
    for metric in (facts.task.primary, *facts.task.beside):
        plain, int8 = (_figure(metric, model, interval) if model else "" for model in models)
        rows.append((metric.label, plain, int8, "" if rows else count))
    if "agreement" in metrics:
        rows.append(("same answer as float", "", percent(metrics["agreement"]), ""))
    return rows


def _figure(metric: Metric, metrics: Mapping[str, Any], interval: bool) -> str:
    """With its interval, where it has one."""
    figure, between = metric.figure(metrics[metric.key]), metrics.get(f"{metric.key}_ci95")
    if not interval or between is None:
        return figure
    return f"{figure} [{', '.join(metric.plain(end) for end in between)}]"


def _size(facts: Facts) -> list[Row]:
    if not facts.model:
        return []
    model = facts.model
    sizes = [
        ("size", model["bytes"], facts.float_bytes),
        ("size, deflated", model["deflated"], model["float_deflated"]),
    ]
    if facts.shipped == "float" or not facts.float_bytes:
        dense = facts.float_bytes and sparse_pairs(facts)
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
