"""Pack the shipped model, with all that is known about it, for each of ``package.targets``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tfedge.benchmark.measurements import Measurements
from tfedge.core.context import Context
from tfedge.core.outputs import (
    Base,
    Distillation,
    DropMade,
    DropsMade,
    Evaluation,
    Kind,
    ModelFile,
    dump,
    read,
    write,
)
from tfedge.data.schema import Data
from tfedge.drops import golden
from tfedge.drops.make import make
from tfedge.drops.targets import targets_of
from tfedge.pipeline.schema import Distill, Package
from tfedge.redact import without_secrets
from tfedge.stages.examples import examples_of, task_work
from tfedge.tasks.drop import Content, Pair
from tfedge.tasks.streams import evaluation_split
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Examples


def run(ctx: Context) -> None:
    """Make ``drops/<target>``, which the run directory links to, and write drops.json."""
    config = ctx.pipeline.package
    if config is None:
        raise ValueError("package is not in this pipeline")
    targets = targets_of(task_of(ctx.pipeline.task), config.targets)
    content = _content(ctx)
    made = []
    for target in targets:
        drop = make(content, ctx.out / "drops" / target.name, target)
        row = DropMade(
            target=target.name,
            path=drop.path.relative_to(ctx.out).as_posix(),
            files=drop.files,
            bytes=drop.bytes,
            manifest_sha256=drop.manifest_sha256,
        )
        made.append(row)
        ctx.progress.note(f"drop for {target.name}: {drop.files} files, {drop.bytes:,} bytes")
    write(ctx.out / "drops.json", DropsMade(made))


def _content(ctx: Context) -> Content:
    pipeline, work, examples = ctx.pipeline, task_work(ctx), examples_of(ctx)
    model = ctx.inputs["convert/model.tflite"].read_bytes()
    base = read(ctx.inputs["backbone/base.json"], Base)
    file = read(ctx.inputs["convert/model.json"], ModelFile)
    teacher = _read(ctx, "distill/distill.json", Distillation)
    # With a distill section its teacher takes the place of the one that these sections name.
    unused = {"teacher"} if pipeline.distill is not None else set()
    recipe = {name: _kept(ctx.config[name], unused) for name in ("prune", "quantize")}
    if recipe["quantize"] is not None:
        recipe["quantize"]["recipe"] = file.recipe  # not: auto
    if pipeline.distill is not None and teacher is not None:
        recipe["distill"] = _taught(teacher, pipeline.distill)
    if pipeline.cluster is not None:
        recipe["cluster"] = _kept(ctx.config["cluster"], unused)
    measured = ctx.inputs.get("benchmark/benchmark.json")
    facts = work.drop_facts(examples)
    given, taken = work.contract(model, examples)
    source = _source(pipeline.data)
    return Content(
        task=task_of(pipeline.task),
        name=pipeline.name,
        model=model,
        given=given,
        taken=taken,
        facts=facts,
        golden=_golden(ctx, examples, model),
        data={"source": source, "digest": examples.digest, "counts": examples.counts},
        backbone=base,
        recipe=recipe,
        sparsity=file.sparsity,
        run_key=_run_key(ctx, examples, base),
        teacher=teacher,
        metrics=_read(ctx, "evaluate/metrics.json", Evaluation),
        benchmark=Measurements.read(measured).results if measured else (),
        package=pipeline.package or Package(),
    )


def _kept(section: dict[str, Any] | None, unused: set[str]) -> dict[str, Any] | None:
    """A section as the drop tells it, without the keys that had no effect."""
    if section is None:
        return None
    return {key: value for key, value in section.items() if key not in unused}


def _taught(teacher: Distillation, distill: Distill) -> dict[str, Any]:
    """The teacher, by name, net and accuracy, and how the student learnt from it."""
    found = dump(teacher)
    keys = ("name", "net", "val_accuracy", "float")
    said = {"teacher" if key == "name" else key: found[key] for key in keys if key in found}
    return {**said, "temperature": distill.temperature, "alpha": distill.alpha}


def _read(ctx: Context, name: str, kind: type[Kind]) -> Kind | None:
    """What an earlier stage has written; None when that stage is not in this pipeline."""
    return read(ctx.inputs[name], kind) if ctx.has(name) else None


def _golden(ctx: Context, examples: Examples, model: bytes) -> tuple[Pair, ...]:
    rows = examples.rows_of(evaluation_split(examples))
    chosen = task_work(ctx).golden(examples, rows, golden.COUNT)
    inputs = examples.inputs([row for row, _ in chosen])
    return golden.make(model, inputs, [facts for _, facts in chosen])


def _source(data: Data) -> str:
    """Where the examples are from, without the folders of this machine."""
    if data.download is not None:
        return without_secrets(data.download.url)
    path = data.path or ""
    return path if path.startswith("sample:") else Path(path).name


def _run_key(ctx: Context, examples: Examples, base: Base) -> str:
    """What the run was made from: the same for two runs of one pipeline over the same inputs."""
    made_from = {
        "pipeline": ctx.config,
        "data": examples.digest,
        "weights": base.weights.sha256,
    }
    content = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
