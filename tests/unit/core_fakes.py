"""A stage table of tiny functions, for the engine: same names and roles as the real one.

Each call is noted in ``calls.txt`` beside the stages' cache. The environment variable
``FAKE_<STAGE>`` makes a stage misbehave.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

from tfedge.benchmark.measurements import Measurements
from tfedge.benchmark.result import Host, Process, Result
from tfedge.core import engine, plan, rundir
from tfedge.core.context import Context, Origin
from tfedge.core.outputs import (
    DropMade,
    DropsMade,
    Evaluation,
    ModelFile,
    ModelMetrics,
    TensorType,
    write,
)
from tfedge.core.progress import Reporter
from tfedge.core.stages import Stage
from tfedge.errors import UnsupportedModel
from tfedge.pipeline.load import load

TABLE = (
    Stage(
        "data",
        "core_fakes:data",
        outputs=("index.json",),
        config=("seed",),
        probe="core_fakes:photos_digest",
        root="core_fakes:photos",
    ),
    Stage(
        "finetune",
        "core_fakes:finetune",
        inputs=("data/index.json",),
        outputs=("model.npz", "logs/loss.txt"),
        config=("backbone", "finetune.epochs"),
        libs=("numpy",),
    ),
    Stage(
        "quantize",
        "core_fakes:quantize",
        inputs=("finetune/model.npz", "prune/model.npz"),
        outputs=("graph.pb",),
        config=("quantize",),
        section="quantize",
    ),
    Stage(
        "convert",
        "core_fakes:convert",
        inputs=("finetune/model.npz", "quantize/graph.pb"),
        outputs=("model.tflite", "model.json"),
    ),
    Stage(
        "evaluate",
        "core_fakes:evaluate",
        inputs=("convert/model.tflite",),
        outputs=("metrics.json",),
        section="evaluate",
    ),
    Stage(
        "benchmark",
        "core_fakes:benchmark",
        inputs=("convert/model.tflite",),
        outputs=("benchmark.json",),
        cacheable=False,
        section="benchmark",
    ),
    Stage(
        "package",
        "core_fakes:package",
        inputs=("convert/model.tflite", "benchmark/benchmark.json"),
        outputs=("drops.json",),
        cacheable=False,
        section="package",
    ),
)

ALL = [stage.name for stage in TABLE]
NEVER_CACHED = [stage.name for stage in TABLE if not stage.cacheable]

PIPELINE = """\
name: fake
data: {path: photos}
quantize: {epochs: 2}
evaluate:
benchmark:
package:
"""


def photos(section: object, cache: Path) -> Path:
    return Path(section.path)


def photos_digest(section: object, cache: Path, hash_new: bool, progress: object = None) -> str:
    return ",".join(sorted(p.name for p in Path(section.path).iterdir()))


def data(ctx: Context) -> None:
    _called(ctx, "data")
    images = sorted(p.name for p in ctx.data_root.iterdir())
    index = {"digest": "d" * 64, "counts": {"train": {"a": len(images)}}, "rows": images}
    (ctx.out / "index.json").write_text(json.dumps(index))


def finetune(ctx: Context) -> None:
    print("noise of a library")
    os.write(2, b"noise from C\n")
    ctx.progress.update("epoch", 1, 2, "epochs")
    ctx.progress.note("a decision")
    (ctx.out / "logs").mkdir()
    (ctx.out / "logs" / "loss.txt").write_text("0.5")
    _called(ctx, "finetune")
    rows = json.loads(ctx.inputs["data/index.json"].read_text())["rows"]
    (ctx.out / "model.npz").write_text(f"{rows} {ctx.pipeline.finetune.epochs}")


def quantize(ctx: Context) -> None:
    assert not ctx.has("prune/model.npz")
    _called(ctx, "quantize")
    (ctx.out / "graph.pb").write_text(
        ctx.inputs["finetune/model.npz"].read_text() + str(ctx.pipeline.quantize)
    )


def convert(ctx: Context) -> None:
    source = "quantize/graph.pb" if ctx.has("quantize/graph.pb") else "finetune/model.npz"
    (ctx.out / "model.tflite").write_text("tflite of " + ctx.inputs[source].read_text())
    tensor = TensorType(dtype="uint8", shape=[1])
    model = ModelFile(
        recipe="qat",
        sha256="ab" * 32,
        bytes=100,
        deflated=90,
        float_deflated=300,
        sparsity=0.5,
        float_tensors=0,
        input=tensor,
        output=tensor,
        layers=[],
    )
    write(ctx.out / "model.json", model)
    _called(ctx, "convert")


def evaluate(ctx: Context) -> None:
    _called(ctx, "evaluate")
    metrics = Evaluation(
        split="val",
        n=100,
        chose_weights=False,
        shipped="int8",
        plain=ModelMetrics(top1=0.90, per_class=[]),
        int8=ModelMetrics(top1=0.87, recall_macro=0.86, confusion=[]),
        agreement=0.97,
        phases=[],
        worst=[],
        warnings=[],
        proposals=[],
    )
    write(ctx.out / "metrics.json", metrics)


def debug(ctx: Context) -> None:
    assert ctx.has("evaluate/metrics.json")
    _called(ctx, "debug")
    (ctx.out / "debug.json").write_text(json.dumps({"layers": ["conv_7"]}))


def benchmark(ctx: Context) -> None:
    _called(ctx, "benchmark")
    host = Host("a CPU", "x86_64", 2, "Linux", "3.11.0")
    process = Process(1, 1, (), (2_500_000,) * 3, None, None)
    result = Result("int8", "ab" * 32, 100, "LiteRT", "2.0", 1, host, (process,))
    Measurements((result,)).write(ctx.out / "benchmark.json")


def package(ctx: Context) -> None:
    assert ctx.run_dir is not None and ctx.has("benchmark/benchmark.json")
    (ctx.out / "drops" / "linux").mkdir(parents=True)
    _called(ctx, "package")
    drop = DropMade(
        target="linux", path="drops/linux", files=2, bytes=10, manifest_sha256="de" * 32
    )
    write(ctx.out / "drops.json", DropsMade([drop]))


def report(run_dir: Path, result: dict, origin: object) -> Path:
    path = run_dir / "report.md"
    path.write_text(result["status"])
    return path


def origin_report(run_dir: Path, result: dict, origin: Origin) -> Path:
    told = [origin.pipeline.name, str(origin.data_root), str(origin.cache), result["status"]]
    path = run_dir / "origin.json"
    path.write_text(json.dumps(told))
    return path


def broken_report(run_dir: Path, result: dict, origin: object) -> Path:
    raise RuntimeError("no ink")


def _called(ctx: Context, stage: str) -> None:
    with (ctx.cache / "calls.txt").open("a") as file:
        file.write(f"{stage}\n")
    misbehaviour = os.environ.get(f"FAKE_{stage.upper()}", "")
    if misbehaviour:
        (ctx.out / "half.bin").write_bytes(b"half")
        _MISBEHAVE[misbehaviour](ctx)


def _refuse(ctx: Context) -> None:
    raise UnsupportedModel("can't", ["conv_7"], "use another")


def _bug(ctx: Context) -> None:
    raise KeyError("conv_7")


def _full(ctx: Context) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(ctx.out / "model.npz"))


def _full_in_other_words(ctx: Context) -> None:
    raise RuntimeError(f"ResourceExhausted: {os.strerror(errno.ENOSPC)}")


def _kill(ctx: Context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _train(ctx: Context) -> None:
    """Two epochs and a half, then as ``wait``."""
    for step in range(1, 26):
        epoch, done = (step + 9) // 10, (step - 1) % 10 + 1
        ctx.progress.loss("head", 2.0 / step)
        ctx.progress.update(f"head, epoch {epoch}/3", done, 10, "examples")
        if done == 10:
            figures = {"loss": 2.0 / step, "learning_rate": 0.1, "val_loss": 0.4, "val_top1": 0.91}
            ctx.progress.epoch("head", epoch, 3, figures)
    ctx.progress.note("warning: too few 猫 images")
    ctx.progress.note("warning: too few 猫 images")
    time.sleep(0.3)  # a drawing is due
    ctx.progress.update("head, epoch 3/3", 5, 10, "examples")
    _wait(ctx)


def _hang(ctx: Context) -> None:
    ctx.progress.note("hanging")
    for _ in range(600):  # one long sleep would not end if Ctrl-C came just before it
        time.sleep(0.1)


def _wait(ctx: Context) -> None:
    """Until there is a file ``go on`` in the cache."""
    (ctx.out / "half.bin").unlink()
    ctx.progress.note("at it")
    deadline = time.monotonic() + 30
    while not (ctx.cache / "go on").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def _swallow(ctx: Context) -> None:
    """As TensorFlow does when Ctrl-C comes inside one of its callbacks."""
    try:
        _hang(ctx)
    except KeyboardInterrupt:
        raise ValueError("UnknownError: KeyboardInterrupt in a callback") from None


def _import(ctx: Context) -> None:
    raise ImportError("no libhdf5.so", name="h5py._hl")


def _own_import(ctx: Context) -> None:
    raise ModuleNotFoundError("No module named 'tfedge.nowhere'", name="tfedge.nowhere")


_MISBEHAVE = {
    "import": _import,
    "own import": _own_import,
    "refuse": _refuse,
    "bug": _bug,
    "full": _full,
    "full in other words": _full_in_other_words,
    "kill": _kill,
    "hang": _hang,
    "train": _train,
    "wait": _wait,
    "swallow": _swallow,
}


def go(
    folder: Path,
    *overrides: str,
    run_dir: Path | None = None,
    report: str = "core_fakes:report",
    table: tuple[Stage, ...] = TABLE,
    stream: TextIO | None = None,
    capture_output: bool = True,
    **selection: object,
) -> tuple[dict, Path]:
    """Run ``folder/fake.yaml`` with the fakes; returns run.json and the run directory."""
    loaded = load(folder / "fake.yaml", overrides)
    selected = plan.select(loaded.pipeline, stages=table, **selection)
    if run_dir is None:
        opened = rundir.create(folder / "runs", loaded.pipeline.name, loaded.resolved())
    else:
        opened = rundir.reuse(run_dir, [stage.name for stage in table])
    with opened:
        result = engine.run(
            loaded,
            selected,
            cache=folder / "cache",
            run_dir=opened,
            progress=Reporter(stream or io.StringIO()),
            report=report,
            capture_output=capture_output,
        )
    return result, opened.path


def calls(folder: Path) -> list[str]:
    """The stages that were really run since this was last asked."""
    path = folder / "cache" / "calls.txt"
    if not path.exists():
        return []
    names = path.read_text().split()
    path.unlink()
    return names


def shell(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The command line over the fakes, in a process of its own."""
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, __file__, "run", "fake.yaml", "--cache", "cache", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{root}"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, *texts: str) -> None:
    """Until one of them stands there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and any(text in path.read_text() for text in texts):
            return
        time.sleep(0.02)
    raise AssertionError(f"{texts} never came to {path}")


def entries(folder: Path) -> list[str]:
    """Names of the stages that the cache holds."""
    records = (folder / "cache" / "stages").glob("*/stage.json")
    return sorted(json.loads(record.read_text())["name"] for record in records)


def unsealed(folder: Path) -> list[Path]:
    return list((folder / "cache" / "stages" / "tmp").iterdir())


def run_json(folder: Path) -> dict:
    return json.loads((folder / "runs" / "latest" / "run.json").read_text())


def how(result: dict) -> dict[str, str]:
    return {row["name"]: row["cache"] for row in result["stages"]}


def prepare(folder: Path) -> Path:
    """A folder with a pipeline and two images."""
    (folder / "fake.yaml").write_text(PIPELINE)
    (folder / "photos").mkdir()
    for name in "ab":
        (folder / "photos" / name).write_text(name)
    return folder


def command() -> Callable[..., int]:
    """The real command line, over the fakes: for processes that do nothing else."""
    import tfedge.report.table
    from tfedge import cli

    plan.select = partial(plan.select, stages=TABLE)
    engine.run = partial(engine.run, report="core_fakes:report")
    tfedge.report.table.summary = lambda result, run_dir, told=(): "\n".join(
        [f"table: {result['status']}", *(f"told: {text}" for text in told)]
    )
    tfedge.report.table.document = lambda result, run_dir: {
        "directory": str(run_dir),
        "run": result,
        "warnings": [],
        "proposals": [],
        "summary": f"table: {result['status']}",
    }
    return cli.main


if __name__ == "__main__":
    raise SystemExit(command()())
