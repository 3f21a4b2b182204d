"""Pack the shipped model, with all that is known about it, for each of ``package.targets``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tfedge.benchmark.measurements import Measurements
from tfedge.core.context import Context
from tfedge.core.outputs import (
    FROM_FILE,
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
from tfedge.stages.examples import examples_of, task_work
from tfedge.tasks.drop import Content
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Examples


def run(ctx: Context) -> None:
    """Make ``drops/<target>``, which the run directory links to, and write drops.json."""
    config = ctx.pipeline.package
    if config is None:
        raise ValueError("package is not in this pipeline")
    targets = targets_of(task_of(ctx.pipeline.task), config.targets)
    content, examples = _content(ctx), examples_of(ctx)
    made = []
    for target in targets:
        fitting = task_work(ctx).for_target(target.name, content, examples)
        drop = make(fitting, ctx.out / "drops" / target.name, target)
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
    if teacher is not None and teacher.net is not None:
        teacher = teacher.model_copy(update={"net": _public(teacher.net)})
    recipe = {name: ctx.config[name] for name in ("prune", "quantize")}
    if recipe["quantize"] is not None:
        recipe["quantize"] = recipe["quantize"] | {"recipe": file.recipe}  # not: auto
    if pipeline.distill is not None and teacher is not None:
        recipe["distill"] = _teacher_facts(teacher, pipeline.distill)
    if pipeline.cluster is not None:
        recipe["cluster"] = ctx.config["cluster"]
    measured = ctx.inputs.get("benchmark/benchmark.json")
    facts = work.drop_facts(examples)
    given, taken = work.contract(model, examples)
    config = pipeline.package or Package()
    shown = golden.chosen(config.golden, work, examples, given, model)
    ctx.progress.note(f"golden pairs: {shown.told}")
    return Content(
        task=task_of(pipeline.task),
        name=pipeline.name,
        model=model,
        given=given,
        taken=taken,
        facts=facts,
        beside=work.beside(examples),
        golden=golden.make(model, shown.inputs, shown.facts),
        golden_from=golden.origin(config.golden),
        golden_told=shown.told,
        golden_tried=shown.tried,
        data={
            "source": _source(pipeline.data),
            "digest": examples.digest,
            "counts": examples.counts,
        },
        backbone=_public(base),
        recipe=recipe,
        sparsity=file.sparsity,
        run_key=_run_key(ctx, examples, base),
        teacher=teacher,
        metrics=_read(ctx, "evaluate/metrics.json", Evaluation),
        benchmark=Measurements.read(measured).results if measured else (),
        package=config,
    )


def _teacher_facts(teacher: Distillation, distill: Distill) -> dict[str, Any]:
    """The teacher, by name, net and accuracy, and how soft its answers were."""
    found = dump(teacher)
    keys = ("name", "net", "val_accuracy", "float")
    said = {"teacher" if key == "name" else key: found[key] for key in keys if key in found}
    return {**said, "temperature": distill.temperature}


def _read(ctx: Context, name: str, kind: type[Kind]) -> Kind | None:
    """What an earlier stage has written; None when that stage is not in this pipeline."""
    return read(ctx.inputs[name], kind) if ctx.has(name) else None


def _public(base: Base) -> Base:
    """A net, with the weights' file by its name: where it lies is nobody's business."""
    weights = base.weights
    if weights.source != FROM_FILE:
        return base
    named = weights.model_copy(update={"detail": Path(weights.detail).name})
    return base.model_copy(update={"weights": named})


def _source(data: Data) -> str:
    """Where the examples are from, without the folders of this machine, and of an address without
    what may be a password."""
    if data.download is not None:
        address = urlsplit(data.download.url)
        return address._replace(
            netloc=address.netloc.rpartition("@")[2], query="", fragment=""
        ).geturl()
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
