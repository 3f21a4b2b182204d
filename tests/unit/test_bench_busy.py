"""A busy machine is told, however narrow the interval is; and a quiet one is not called busy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_fakes import Board, Lab
from color_helpers import FLOAT, INT8
from script_helpers import document
from test_bench_results import result

from tfedge.benchmark.compare import compare
from tfedge.benchmark.result import Process, Result
from tfedge.benchmark.script.runtime import settle
from tfedge.benchmark.script.statistics import busy, joined, summarise, unstable
from tfedge.devices.session import Plan, measure, opened, subjects

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import latency_table  # noqa: E402

LONG = ROOT / "models" / "digits-mobilenetv2" / "digits-mobilenetv2.tflite"  # a millisecond
WALL = np.random.default_rng(1).normal(1_000_000, 5_000, 60)


def process(wall: np.ndarray, cpu: np.ndarray) -> dict[str, list[int]]:
    return {"samples_ns": wall.astype(int).tolist(), "cpu_ns": cpu.astype(int).tolist()}


@pytest.mark.parametrize(
    ("share", "threads", "said"),
    [
        (1.0, 1, ""),
        (1.004, 1, ""),  # reading the clocks
        (0.96, 1, ""),
        (0.94, 1, "busy: for 6% of the time"),
        (0.5, 1, "busy: for 50% of the time"),
        (2.0, 2, ""),
        (1.4, 2, ""),  # as far as the model lets two threads compute at once
        (0.8, 2, "busy: for 20%"),
        (2.2, 2, "the CPU time of 2.2 threads, and was given 2"),
        (1.5, 1, "the CPU time of 1.5 threads, and was given 1"),
    ],
)
def test_cpu_time_and_time_on_the_clock(share: float, threads: int, said: str) -> None:
    found = busy([process(WALL, share * WALL)], threads, "xnnpack")
    assert (said in found[0]) if said else found == []


def test_a_process_settles_once_its_other_threads_have_stopped_computing() -> None:
    """OpenBLAS's spin after numpy was imported: the CPU time of 1.7 threads was the sign."""

    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            zlib.crc32(bytes(1 << 20))  # not holding the interpreter's lock

    others = [threading.Thread(target=compute) for _ in range(2)]
    for other in others:
        other.start()
    # Long looks: where the machine is busy they wait for a core for longer than 0.01 s.
    assert not settle(longest=0.3, look=0.3)
    threading.Timer(0.5, stop.set).start()
    assert settle(longest=60, look=0.3) and stop.is_set()
    for other in others:
        other.join()


def test_two_threads_of_which_the_kernel_counts_one_late() -> None:
    """In ticks of 4 ms: every sixth sample as if one thread had computed, as fast as the others."""
    late = np.where(np.arange(60) % 6 == 0, 1.0, 1.94)
    assert busy([process(WALL, late * WALL)], 2, "xnnpack") == []
    slow = np.where(np.arange(60) % 6 == 0, 1.8, 1.0)  # these did wait
    (said,) = busy([process(slow * WALL, late * slow * WALL)], 2, "xnnpack")
    assert "busy: for 12%" in said


def test_two_threads_that_were_disturbed_for_a_while() -> None:
    """Half of the samples took twice as long on the clock, and the same CPU time."""
    wall = WALL * np.where(np.arange(60) < 30, 2, 1)
    (said,) = busy([process(wall, 1.8 * WALL)], 2, "none")
    assert "busy: for 33%" in said
    assert busy([process(WALL, 1.8 * WALL)], 2, "none") == []


def test_one_process_of_three_is_enough() -> None:
    quiet, loud = process(WALL, WALL), process(WALL, 0.7 * WALL)
    assert "busy: for 30%" in busy([quiet, loud, quiet], 1, "xnnpack")[0]


def test_where_nothing_can_be_said_nothing_is() -> None:
    waiting = process(WALL, 0.1 * WALL)
    assert busy([waiting], 1, "edgetpu") == [], "the CPU waits for the chip"
    assert busy([waiting], 1, "/lib/other.so,key=value") == []
    assert busy([{"samples_ns": [1, 2]}], 1, "xnnpack") == [], "a result of an older script"


def test_reading_the_clocks_is_no_second_thread() -> None:
    wall = np.full(60, 5_000.0)
    assert busy([process(wall, wall + 1_500)], 1, "xnnpack") == []


def test_a_tail_is_told_though_most_samples_agree() -> None:
    samples = [1000] * 50 + [1300] * 10
    assert summarise(samples).mad == 0
    assert unstable([samples]) == [
        "one in ten inferences takes 30% longer than the median, or more"
    ]
    assert unstable([[1000] * 50 + [1150] * 10]) == []


def measured(wall: np.ndarray, cpu: np.ndarray) -> Result:
    given = process(wall, cpu)
    one = Process(1, 1, (), tuple(given["samples_ns"]), None, None, cpu_ns=tuple(given["cpu_ns"]))
    return result([], processes=(one, one, one))


def test_a_narrow_interval_of_a_busy_machine_is_not_to_be_trusted() -> None:
    """The README's first table: 0.88 times as fast, without a doubt, where 1.95 was true."""
    plain = measured(WALL, WALL)
    disturbed = measured(1.14 * WALL, 0.51 * WALL)
    found = compare(plain, disturbed)
    assert found.significant and found.unstable
    assert str(found).endswith("; unstable")
    assert "busy: for 55%" in disturbed.unstable[0]
    assert not compare(plain, plain).unstable
    assert "unstable" not in str(compare(plain, plain))


def test_the_script_and_the_package_say_the_same() -> None:
    given = process(WALL, 0.8 * WALL)
    rest: dict[str, Any] = {"before": None, "after": None, "peak_bytes": None}
    row = {"threads": 1, "delegate": "xnnpack", "drift": None, "processes": [given | rest]}
    row |= dict.fromkeys(("profile", "accuracy", "golden"))
    assert joined([row])["unstable"] == measured(WALL, 0.8 * WALL).unstable != []


def test_json_keeps_the_cpu_time() -> None:
    found = measured(WALL, WALL)
    again = Result.from_json(found.to_json())
    assert again == found and again.processes[0].cpu_ns == found.processes[0].cpu_ns
    assert len(document(INT8, "--runs=12")["results"][0]["processes"][0]["cpu_ns"]) == 12


def test_what_is_compared_goes_there_and_back() -> None:
    lab = Lab(Board("pi"), Board("other"))
    models = {"float": FLOAT, "int8": INT8}
    with opened(lab.entries(), connect=lab.connect) as found:
        results = measure(subjects(models, lab.entries(), found), Plan(runs=10, processes=3))
    assert [(r.device, r.model) for r in results] == [
        ("pi", "float"),
        ("pi", "int8"),
        ("other", "float"),
        ("other", "int8"),
    ]
    order = [Path(turn["model"]).name for turn in lab.boards["pi"].turns]
    float_, int8 = order[0], order[1]
    assert order == [float_, int8, int8, float_, float_, int8] and float_ != int8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins processes to a core")
def test_a_machine_that_is_really_busy() -> None:
    """On one core, which two others want as well. (Inferences of a millisecond are not disturbed
    there: the system takes turns while the clocks are read. LiteRT's own kernels take four.)"""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    spin = [sys.executable, "-S", "-c", "print(flush=True)\nwhile True: pass"]
    others = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for other in others:
            assert other.stdout is not None and other.stdout.readline()
        (found,) = document(LONG, "--seconds=2", "--delegate=none")["results"]
    finally:
        os.sched_setaffinity(0, mine)
        for other in others:
            other.kill()
            other.communicate()
    assert any("the machine was busy" in reason for reason in found["unstable"]), found["unstable"]


# --- tools/latency_table.py ---


def cells(reasons: list[str]) -> dict[Any, dict[str, Any]]:
    host = {"cpu": "a cpu", "cores": 2}
    made = {
        "summary": {"median": 2e6, "mad": 1e5},
        "unstable": [],
        "runtime_version": "2",
        "host": host,
    }
    found = {
        (network, precision, "LiteRT", threads): made | {"runtime": "LiteRT"}
        for network in latency_table.NETWORKS
        for precision in ("float", "int8")
        for threads in latency_table.THREADS
    }
    first = next(iter(found))
    return found | {first: found[first] | {"unstable": reasons}}


def test_figures_of_a_busy_machine_are_marked_and_not_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    monkeypatch.setattr(latency_table, "put_into_readme", lambda *said: written.append(said[-1]))
    busy_cells = cells(["the machine was busy: for 40% of the time it did not compute this"])
    assert latency_table.table(busy_cells).count("2.0 ± 0.1 (unstable)") == 1
    with pytest.raises(SystemExit, match=r"README\.md is left as it is") as caught:
        latency_table.publish(busy_cells, "text")
    assert "MobileNetV2 float, LiteRT, 1 thr.: the machine was busy" in str(caught.value)
    assert written == []
    assert "unstable" not in latency_table.table(cells([]))
    latency_table.publish(cells([]), "text")
    assert written == ["text"]
