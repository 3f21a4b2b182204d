"""Latency of the float and the shipped model on ``benchmark.devices``, each in fresh processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tfedge.benchmark.measurements import Measurements
from tfedge.benchmark.result import Result
from tfedge.benchmark.speed import INT8, is_slower, pairs
from tfedge.core.context import Context
from tfedge.devices.device import Busy
from tfedge.devices.session import Connect, Gaps, Plan, Subject, connect, measure, opened, subjects
from tfedge.devices.tools import tools
from tfedge.pipeline.schema import Benchmark
from tfedge.report.facts import unstable
from tfedge.report.markup import threads_text
from tfedge.report.slower import slower_text
from tfedge.report.sparse import DENSE
from tfedge.tflite.reader import read
from tfedge.tflite.values import FLOATS
from tfedge.tflite.xnnpack import is_sparse

_BUSY = 1800.0  # seconds to wait for another bench: the training behind us took as long


def needs(benchmark: Benchmark, connect: Connect = connect) -> None:
    """DeviceError when a device is away that may not be: better now than after the training.

    One that is busy now may be free when it is needed.
    """
    for device in benchmark.measured_on:
        if not device.optional:
            try:
                with opened([device], connect=connect):
                    pass
            except Busy:
                continue


def run(ctx: Context, connect: Connect = connect) -> None:
    """Write benchmark.json, see ``Measurements``. A device that may be away, and is, has an entry
    with the reason."""
    config = ctx.pipeline.benchmark
    if config is None:
        raise ValueError("benchmark is not in this pipeline")
    shipped, plain = ctx.inputs["convert/model.tflite"], ctx.inputs["convert/float.tflite"]
    # Reading checks the files, too: an interpreter crashes on a broken one.
    model = read(shipped)
    read(plain)
    int8_weights = any(tensor.is_const and tensor.dtype == "int8" for tensor in model.tensors)
    is_float = model.outputs[0].dtype in FLOATS and not int8_weights
    models = {"float": shipped} if is_float else {"float": plain, "int8": shipped}
    if is_sparse(model):  # a promise of speed: held against the same net with all its weights
        models = {DENSE: plain, "float": shipped}
    asked = (config.threads, config.runs, config.warmup, config.processes)
    plan = Plan(*asked, profile=config.profile)
    gaps: Gaps = {}
    found_tools = tools(config.measured_on, ctx.cache, ctx.progress)
    devices = opened(config.measured_on, gaps, connect, wait=_BUSY, note=ctx.progress.note)
    with devices as found:
        progress = partial(ctx.progress.update, "benchmark", unit="processes")
        measured = subjects(models, config.measured_on, found, found_tools)
        results = measure(measured, plan, gaps=gaps, progress=progress)
        slower = [
            (plain, _profiled(int8, measured, plan, gaps))
            for plain, int8 in pairs(results)
            if is_slower(plain, int8)
        ]
    for result in results:
        where = f"{result.model}, {result.device}, {threads_text(result.threads)}"
        figures = f"{result.summary.median / 1e6:.3f} ± {result.summary.mad / 1e6:.3f} ms"
        ctx.progress.note(f"{where}: {figures}")
    for text in unstable(results):
        ctx.progress.note(f"warning: {text}")
    for both in slower:
        ctx.progress.note(f"warning: {slower_text(*both)}")
    for name, reason in gaps.items():
        ctx.progress.note(f"warning: {name} was not measured: {reason}")
    profiled = [int8 for _, int8 in slower]  # equal to what was measured but for the profile
    told = [next((int8 for int8 in profiled if int8 == one), one) for one in results]
    Measurements(tuple(told), gaps).write(ctx.out / "benchmark.json")


def _profiled(int8: Result, measured: Sequence[Subject], plan: Plan, gaps: Gaps) -> Result:
    """The result with a profile of its model; as it is where it has one, or the device is lost."""
    if int8.profile:
        return int8
    once = replace(plan, threads=(int8.threads,), processes=1, profile=True)
    again = [one for one in measured if (one.model, one.device.name) == (INT8, int8.device)]
    found = measure(again, once, gaps=gaps)
    return replace(int8, profile=found[0].profile) if found else int8
