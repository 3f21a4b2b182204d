"""Runs that were evaluated and measured, as a report finds them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from color_helpers import Run, make_run

from tfedge.benchmark.measurements import Measurements
from tfedge.benchmark.result import Host, Process, Result
from tfedge.core.context import Origin
from tfedge.files.artifact import sha256_json
from tfedge.report import facts
from tfedge.stages import evaluate

HOST = Host("a CPU", "x86_64", 2, "Linux", "3.11.0")


def result_of(model: str, *milliseconds: float, **changed: object) -> Result:
    samples = tuple(round(1e6 * one) for one in milliseconds)
    process = Process(1, 1, (), samples, None, None)
    return replace(Result(model, "ab" * 32, 9, "LiteRT", "2.3.0", 1, HOST, (process,)), **changed)


def judged(tmp_path: Path, *results: Result, **sections: object) -> tuple[Run, dict]:
    """A run that was evaluated and measured so, and its run.json as far as a report asks."""
    run = make_run(tmp_path, mislabelled=1, **sections)
    evaluate.run(run.context("evaluate"))
    (run.folder / "benchmark").mkdir()
    Measurements(results).write(run.folder / "benchmark" / "benchmark.json")
    names = ("data", "convert", "evaluate", "benchmark")
    rows = [
        {"name": name, "key": sha256_json(name), "cache": "miss", "seconds": 1} for name in names
    ]
    return run, {"pipeline": "color", "status": "ok", "seconds": 3, "stages": rows}


def gathered(run: Run, result: dict) -> facts.Facts:
    return facts.gather(run.folder, result, origin(run))


def origin(run: Run) -> Origin:
    return Origin(run.pipeline, run.root, run.root.parent / "cache")


def coral(run: Run, result: dict, model: Path) -> dict:
    folder = run.folder / "package" / "drops" / "coral"
    folder.mkdir(parents=True)
    (run.folder / "drops").symlink_to("package/drops")
    (folder / "color.tflite").write_bytes(model.read_bytes())
    (folder / "MANIFEST.json").write_text(json.dumps({"model": "color.tflite"}))
    return {**result, "drops": [{"target": "coral", "path": "drops/coral"}]}
