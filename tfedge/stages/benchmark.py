"""Latency of the float and the shipped model on this host, each in fresh processes."""

from __future__ import annotations

import json
from functools import partial

from tfedge.bench.run import measure
from tfedge.core.context import Context
from tfedge.data.files import write_text
from tfedge.tflite.reader import read
from tfedge.tflite.values import FLOATS


def run(ctx: Context) -> None:
    """Write benchmark.json: a list of results with all their samples, see ``bench.result``."""
    config = ctx.pipeline.benchmark
    if config is None:
        raise ValueError("benchmark is not in this pipeline")
    shipped, plain = ctx.inputs["convert/model.tflite"], ctx.inputs["convert/float.tflite"]
    # Reading checks the files, too: an interpreter crashes on a broken one.
    is_float = read(shipped).outputs[0].dtype in FLOATS
    read(plain)
    results = measure(
        {"float": shipped} if is_float else {"float": plain, "int8": shipped},
        threads=config.threads,
        runs=config.runs,
        warmup=config.warmup,
        processes=config.processes,
        progress=partial(ctx.progress.update, "benchmark", unit="processes"),
    )
    for result in results:
        ctx.progress.note(
            f"{result.model}, {result.threads} {'thread' if result.threads == 1 else 'threads'}: "
            f"{result.summary.median / 1e6:.3f} ± {result.summary.mad / 1e6:.3f} ms"
        )
        for reason in result.unstable:
            ctx.progress.note(
                f"warning: {result.model} on {result.threads} threads is unstable: {reason}"
            )
    content = json.dumps([result.to_json() for result in results], indent=1, allow_nan=False)
    write_text(ctx.out / "benchmark.json", content + "\n")
