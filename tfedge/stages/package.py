"""Pack the shipped model, with all that is known about it, for each of ``package.targets``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfedge.core.context import Context
from tfedge.data.index import Index
from tfedge.data.schema import Data
from tfedge.drops import golden
from tfedge.drops.content import Content
from tfedge.drops.make import make
from tfedge.drops.targets import TARGETS
from tfedge.errors import DropError
from tfedge.files.files import write_text
from tfedge.pipeline.schema import Distill, Package
from tfedge.report.facts import measurements
from tfedge.stages.examples import examples_of
from tfedge.tasks.streams import evaluation_split


def run(ctx: Context) -> None:
    """Make ``drops/<target>``, which the run directory links to, and write drops.json."""
    config = ctx.pipeline.package
    if config is None:
        raise ValueError("package is not in this pipeline")
    unknown = [target for target in config.targets if target not in TARGETS]
    if unknown:
        raise DropError(f"no such target: {', '.join(unknown)}", f"one of: {', '.join(TARGETS)}")
    content = _content(ctx)
    made = []
    for target in dict.fromkeys(config.targets):
        drop = make(content, ctx.out / "drops" / target, TARGETS[target])
        made.append(
            {"target": target} | asdict(drop) | {"path": drop.path.relative_to(ctx.out).as_posix()}
        )
        ctx.progress.note(f"drop for {target}: {drop.files} files, {drop.bytes:,} bytes")
    write_text(ctx.out / "drops.json", json.dumps(made, indent=1) + "\n")


def _content(ctx: Context) -> Content:
    pipeline, index = ctx.pipeline, Index.load(ctx.inputs["data/index.json"])
    model = ctx.inputs["convert/model.tflite"].read_bytes()
    base = _read(ctx, "backbone/base.json")
    # With a distill section its teacher takes the place of the one that these sections name.
    unused = {"teacher"} if pipeline.distill is not None else set()
    recipe = {name: _kept(ctx.config[name], unused) for name in ("prune", "quantize")}
    if recipe["quantize"] is not None:
        recipe["quantize"]["recipe"] = _read(ctx, "convert/model.json")["recipe"]  # not: auto
    if pipeline.distill is not None:
        recipe["distill"] = _taught(ctx, pipeline.distill)
    if pipeline.cluster is not None:
        recipe["cluster"] = _kept(ctx.config["cluster"], unused)
    benchmark, _ = measurements(_read(ctx, "benchmark/benchmark.json") or [])
    return Content(
        name=pipeline.name,
        model=model,
        classes=index.classes,
        fit=pipeline.data.fit,
        golden=_golden(ctx, index, model),
        data={"source": _source(pipeline.data), "digest": index.digest, "counts": index.counts},
        backbone=base,
        recipe=recipe,
        sparsity=_read(ctx, "convert/model.json")["sparsity"],
        run_key=_run_key(ctx, index, base),
        metrics=_read(ctx, "evaluate/metrics.json"),
        benchmark=benchmark,
        package=pipeline.package or Package(),
    )


def _kept(section: dict[str, Any] | None, unused: set[str]) -> dict[str, Any] | None:
    """A section as the drop tells it, without the keys that had no effect."""
    if section is None:
        return None
    return {key: value for key, value in section.items() if key not in unused}


def _taught(ctx: Context, distill: Distill) -> dict[str, Any]:
    """The teacher, by name, net and accuracy, and how the student learnt from it."""
    found = _read(ctx, "distill/distill.json")
    keys = ("name", "net", "val_accuracy", "float")
    said = {"teacher" if key == "name" else key: found[key] for key in keys if key in found}
    return {**said, "temperature": distill.temperature, "alpha": distill.alpha}


def _read(ctx: Context, name: str) -> Any:
    """An earlier stage's JSON; None when that stage is not in this pipeline."""
    return json.loads(ctx.inputs[name].read_text(encoding="utf-8")) if ctx.has(name) else None


def _golden(ctx: Context, index: Index, model: bytes) -> tuple[golden.Pair, ...]:
    examples = examples_of(ctx)
    rows = index.rows_of(evaluation_split(examples))
    chosen = [rows[i] for i in golden.choose(index.labels_of(rows))]
    names = [index.classes[label] for label in index.labels_of(chosen)]
    return golden.make(model, examples.inputs(chosen), names)


def _source(data: Data) -> str:
    """Where the pictures are from, without the folders of this machine."""
    if data.download is not None:
        return data.download.url
    path = data.path or ""
    return path if path.startswith("sample:") else Path(path).name


def _run_key(ctx: Context, index: Index, base: dict[str, Any]) -> str:
    """What the run was made from: the same for two runs of one pipeline over the same inputs."""
    made_from = {
        "pipeline": ctx.config,
        "data": index.digest,
        "weights": base["weights"]["sha256"],
    }
    content = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
