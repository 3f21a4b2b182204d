"""What is said of a sparse float model: that it is faster than the dense one, or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_fakes import HOST
from color_helpers import FLOAT, make_run

from tfedge.benchmark.result import Result
from tfedge.files.text import WIDTH
from tfedge.report import sparse, written
from tfedge.report.table import summary
from tfedge.stages import benchmark
from tfedge.tflite import xnnpack
from tfedge.tflite.reader import read

MACHINES = {"arm": "aarch64", "pc": "x86_64"}


def row(model: str, median: int, machine: str = "aarch64", **changes: object) -> dict:
    """A measurement as benchmark.json has it: three processes of twenty samples."""
    spread = range(-10, 10)
    samples = [[median + (i + p) * median // 2000 for i in spread] for p in range(3)]
    process = {"load_ns": 1, "first_ns": 1, "warmup_ns": [], "peak_bytes": None, "base_bytes": None}
    return {
        "model": model,
        "sha256": "ab" * 32,
        "bytes": 10,
        "device": "local",
        "runtime": "LiteRT",
        "runtime_version": "2.3.0",
        "threads": 1,
        "delegate": "xnnpack",
        "input": "random",
        "processes": [process | {"samples_ns": one} for one in samples],
        "host": HOST | {"machine": machine},
    } | changes


def pair(dense: int, shipped: int, machine: str = "aarch64", **changes: object):
    rows = [row("dense", dense, machine), row("float", shipped, machine, **changes)]
    return [Result.from_json(one) for one in rows]


def test_faster_is_said_with_its_interval():
    dense, shipped = pair(2_000_000, 1_000_000)
    assert sparse.is_faster(dense, shipped)
    assert sparse.verdict(dense, shipped).startswith("2.00× as fast [")
    assert sparse.verdict(dense, shipped).endswith("] as dense")
    assert "; dense 2.0" in sparse.verdict_beside_dense(dense, shipped)


@pytest.mark.parametrize(
    ("shipped", "said"),
    [
        (2_200_000, "not faster than dense: 0.91× as fast ["),
        (2_000_100, "not faster than dense: not significant (1.00× as fast)"),
    ],
)
def test_not_faster_is_said_as_plainly(shipped, said):
    dense, found = pair(2_000_000, shipped)
    assert not sparse.is_faster(dense, found)
    assert sparse.verdict(dense, found).startswith(said)


def test_what_can_not_be_compared_is_not():
    dense, shipped = pair(2_000_000, 1_000_000, runtime_version="2.2.0")
    assert not sparse.is_faster(dense, shipped)
    assert sparse.verdict(dense, shipped).endswith("differing in runtime version")


@pytest.mark.parametrize(
    ("shipped", "machine", "expected"),
    [
        (1_000_000, "aarch64", "2.00× as fast ["),
        (1_000_000, "x86_64", "2.00× as fast ["),
        (2_200_000, "aarch64", "not faster than dense: 0.91× as fast ["),
        (2_200_000, "x86_64", "not faster than dense: 0.91× as fast ["),
    ],
)
def test_terminal_and_report_say_so(tmp_path: Path, shipped: int, machine: str, expected: str):
    run = make_run(tmp_path, shipped=FLOAT, recipe="float")
    rows = [row("dense", 2_000_000, machine), row("float", shipped, machine)]
    run.add("benchmark/benchmark.json", rows)
    result = {"status": "ok", "pipeline": "color", "seconds": 1.0, "stages": []}
    text = summary(result, run.folder)
    report = written.write(run.folder, result).read_text("utf-8")
    faster, x86 = shipped < 2_000_000, machine == "x86_64"
    latency, beside = [line for line in text.splitlines() if line.startswith("latency")]
    assert expected in latency and beside.startswith("latency, 1 thread, dense   2.00 ±")
    assert f"- local, 1 thread: {expected}" in report
    warned = "the zeros make the shipped float model no faster on local, 1 thread"
    for shown in (" ".join(text.split()), report):
        assert (warned in shown) == (not faster)
        assert ("no sparse kernels for x86 CPUs with AVX" in shown) == (x86 and not faster)
    assert "1.00 of dense" in text  # here the same file is both
    plain = [line for line in text.splitlines() if not line.startswith("report")]
    assert max(map(len, plain)) <= WIDTH


def test_a_float_file_without_sparse_kernels_has_no_dense_one_beside_it(tmp_path: Path):
    run = make_run(tmp_path, shipped=FLOAT, recipe="float")
    benchmark.run(run.context("benchmark"))
    found = json.loads((run.folder / "benchmark" / "benchmark.json").read_text("utf-8"))
    assert [one["model"] for one in found] == ["float"]


def test_a_sparse_one_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark, "is_sparse", lambda model: True)
    run = make_run(tmp_path, shipped=FLOAT, recipe="float")
    benchmark.run(run.context("benchmark"))
    found = json.loads((run.folder / "benchmark" / "benchmark.json").read_text("utf-8"))
    assert [one["model"] for one in found] == ["dense", "float"]
    assert not xnnpack.is_sparse(read(run.inputs["convert/model.tflite"]))
