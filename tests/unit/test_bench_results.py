"""Latency statistics, comparison, and a real measurement in fresh processes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from color_helpers import FLOAT, INT8, make_run

from tfedge.benchmark.compare import compare
from tfedge.benchmark.result import Host, Process, Result, merge
from tfedge.benchmark.script.facts import device
from tfedge.benchmark.script.statistics import summarise, unstable
from tfedge.devices.schema import BenchDevice
from tfedge.devices.session import Plan, measure, opened, subjects
from tfedge.errors import ArtifactError, DeviceError, TfedgeError
from tfedge.stages import benchmark

HOST = Host("a cpu", "x86_64", 2, "Linux 6", "3.11.0", None)


def result(samples: list[list[int]], **changes: object) -> Result:
    processes = tuple(
        Process(1000, 900, (800, 700), tuple(s), 5_000_000 + i, 4_000_000)
        for i, s in enumerate(samples)
    )
    plain = Result("float", "ab" * 32, 10, "LiteRT", "2.3.0", 1, HOST, processes)
    return replace(plain, **changes)


def steady(median: int, seed: int, processes: int = 3) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(median, median / 100, 50).astype(int).tolist() for _ in range(processes)]


def test_summary_by_hand() -> None:
    found = summarise([1, 2, 3, 4, 100])
    assert (found.n, found.median, found.mad, found.low, found.high) == (5, 3, 1, 1, 100)
    assert found.mean == 22
    with pytest.raises(ValueError, match="no samples"):
        summarise([])


@pytest.mark.parametrize(
    ("n", "p90", "p99"), [(49, False, False), (50, True, False), (1000, True, True)]
)
def test_percentiles_need_samples_beyond_them(n: int, p90: bool, p99: bool) -> None:
    found = summarise(range(n))
    assert (found.p90 is not None, found.p99 is not None) == (p90, p99)
    if p99:
        assert found.p99 == pytest.approx(989.01)


def test_unstable_says_why() -> None:
    assert unstable(steady(1000, 1)) == []
    assert unstable([[100] * 49 + [5000]]) == [], "one slow sample is no scatter"
    scattered = unstable([[80, 90, 100, 110, 120] * 4, [100] * 20])
    assert scattered == ["samples scatter by 15% of the median within a process"]
    apart = unstable([[100] * 10, [100] * 10, [120] * 10])
    assert apart == ["medians of 3 processes differ by 20%"]
    assert unstable([[100] * 5]) == ["only 5 samples"]


def test_json_round_trip_keeps_every_sample() -> None:
    before = result(steady(1000, 2), host=Host.from_json(device()))
    data = json.loads(json.dumps(before.to_json()))
    assert Result.from_json(data) == before
    assert data["summary"]["n"] == 150
    assert data["processes"][0]["warmup_ns"] == [800, 700]
    assert 700 not in before.samples, "warm-ups are no samples"
    assert data["peak_bytes"] == 5_000_001
    with pytest.raises(KeyError):
        Result.from_json({key: data[key] for key in data if key != "threads"})


def test_compare_tells_a_difference_from_noise() -> None:
    faster = compare(result(steady(2000, 3)), result(steady(1000, 4)))
    assert faster.significant
    assert faster.ratio == pytest.approx(0.5, rel=0.02)
    assert faster.low < 0.5 < faster.high
    assert str(faster).startswith("2.0")
    same = compare(result(steady(1000, 5)), result(steady(1002, 6)))
    assert not same.significant
    assert str(same).startswith("not significant")


def test_one_lucky_process_is_not_significant() -> None:
    """Pooled samples would call this a difference: 50 of 150 are twice as fast."""
    lucky = [*steady(1000, 7, 2), *steady(900, 8, 1)]
    assert not compare(result(steady(1000, 9)), result(lucky)).significant


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threads": 2}, "threads"),
        ({"runtime": "tflite-runtime"}, "runtime"),
        ({"runtime_version": "2.4.0"}, "runtime version"),
        ({"host": replace(HOST, cpu="another")}, "cpu"),
        ({"host": replace(HOST, governor="powersave")}, "governor"),
    ],
)
def test_what_differs_is_not_compared_as_if_equal(change: dict, said: str) -> None:
    before, after = result(steady(1000, 10)), result(steady(1000, 11), **change)
    with pytest.raises(TfedgeError, match=f"differ in {said}"):
        compare(before, after)
    assert f"differing in {said}" in str(compare(before, after, differing=[said]))


def test_another_model_on_the_same_host_is_what_compare_is_for() -> None:
    after = result(steady(500, 12), model="int8", sha256="cd" * 32, bytes=3)
    assert compare(result(steady(1000, 13)), after).differing == ()


def measured(models: dict[str, Path], plan: Plan, said: list | None = None) -> list[Result]:
    """On this machine, through the device script."""
    local = [BenchDevice(name="local")]
    with opened(local) as found:
        progress = None if said is None else lambda done, total: said.append((done, total))
        return measure(subjects(models, local, found), plan, progress=progress)


def test_measure_in_fresh_processes() -> None:
    said: list[tuple[int, int]] = []
    plan = Plan(threads=(1, 2), runs=20, warmup=3, processes=1)
    found = measured({"float": FLOAT, "int8": INT8}, plan, said)
    assert [(r.model, r.threads) for r in found] == [
        ("float", 1),
        ("int8", 1),
        ("float", 2),
        ("int8", 2),
    ]
    for r in found:
        assert all(len(p.samples_ns) == 20 and len(p.warmup_ns) == 3 for p in r.processes)
        assert all(p.load_ns > 0 and p.first_ns > 0 for p in r.processes)
        assert min(r.samples) > 0
        assert (r.runtime, r.device, r.delegate) == ("LiteRT", "local", "xnnpack")
    assert found[1].sha256 == hashlib.sha256(INT8.read_bytes()).hexdigest()
    assert said[0] == (0, 4)
    assert said[-1] == (4, 4)


def test_turns_of_one_subject_become_one_result() -> None:
    one, two = result([[100] * 10]), result([[120] * 10], golden={"pairs": 1})
    whole = merge([one, two])
    assert whole.samples == [100] * 10 + [120] * 10
    assert whole.golden == {"pairs": 1}
    with pytest.raises(ValueError, match="they differ in threads"):
        merge([one, result([[100] * 10], threads=2)])


def test_what_the_machine_did_meanwhile_is_said() -> None:
    (process,) = result([[100] * 20]).processes
    hot = replace(process, before={"temperature_c": 50.0}, after={"temperature_c": 80.0})
    assert result([]).unstable == ["no samples"]
    found = replace(result([]), processes=(hot,)).unstable
    assert found and all("temperature" in reason for reason in found)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_peak_memory_is_the_child_s_own() -> None:
    ballast = np.ones(40_000_000)  # 320 MB that a child would inherit in ru_maxrss
    (found,) = measured({"int8": INT8}, Plan(runs=10, warmup=1, processes=1))
    assert ballast.nbytes > 300e6
    process = found.processes[0]
    assert process.base_bytes is not None
    assert process.base_bytes < found.peak_bytes < 250e6


def test_a_model_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model at all")
    with pytest.raises(
        DeviceError, match=r"local: bad\.tflite: the runtime there can.t run the model"
    ):
        measured({"x": tmp_path / "bad.tflite"}, Plan(runs=10, warmup=1, processes=1))


def test_stage_writes_all_samples(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    benchmark.run(run.context("benchmark"))
    rows = run.json("benchmark/benchmark.json")
    assert [(row["model"], row["threads"]) for row in rows] == [("float", 1), ("int8", 1)]
    assert all(len(p["samples_ns"]) == 10 for row in rows for p in row["processes"])
    assert run.said.updates[-1] == ("benchmark", 4, 4)
    assert any(note.startswith("int8, local, 1 thread") and "ms" in note for note in run.said.notes)


def test_stage_of_a_float_pipeline_measures_what_ships(tmp_path: Path) -> None:
    run = make_run(tmp_path, shipped=FLOAT, recipe="float")
    benchmark.run(run.context("benchmark"))
    rows = run.json("benchmark/benchmark.json")
    assert [row["model"] for row in rows] == ["float"]
    assert rows[0]["sha256"] == hashlib.sha256(FLOAT.read_bytes()).hexdigest()


def test_stage_refuses_a_broken_file_before_it_crashes_an_interpreter(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.add("convert/model.tflite", INT8.read_bytes()[:2000])
    with pytest.raises(ArtifactError, match="broken"):
        benchmark.run(run.context("benchmark"))
    assert not (run.folder / "benchmark" / "benchmark.json").exists()
