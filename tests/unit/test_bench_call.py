"""The device script as the package uses it: what it printed, and why it failed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from script_helpers import run
from test_bench_results import INT8, result, steady

from tfedge.benchmark import call
from tfedge.benchmark.compare import compare
from tfedge.benchmark.result import merge


def test_what_the_script_prints_is_read_back() -> None:
    done = run(INT8, "--runs=12", "--processes=2", "--json=-")
    (found,) = call.parse(done.stdout, "pi4")
    document = json.loads(done.stdout)
    (row,) = document["results"]
    assert (found.device, found.model, found.sha256) == ("pi4", "color_int8", row["sha256"])
    assert found.host.cores == document["device"]["cores"]
    assert [list(p.samples_ns) for p in found.processes] == [
        process["samples_ns"] for process in row["processes"]
    ]
    again = found.to_json()
    assert {key: again[key] for key in row if key != "processes"} == {
        key: value for key, value in row.items() if key != "processes"
    }, "the package works out the same from the samples as the script"


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "Welcome to Ubuntu",
        "[]",
        '{"schema": "tfedge.bench/1"}',
        '{"schema": "tfedge.bench/1", "device": {}, "results": [{}]}',
        '{"schema": "tfedge.bench/1", "device": {"cores": 1}, "results": [3]}',
    ],
)
def test_anything_else_is_refused(stdout: str) -> None:
    with pytest.raises(ValueError, match=r"no tfedge\.bench/1 document"):
        call.parse(stdout, "pi4")


def test_another_schema_is_refused() -> None:
    text = '{"schema": "tfedge.bench/2", "device": {}, "results": []}'
    with pytest.raises(ValueError, match=r"schema 'tfedge\.bench/2'"):
        call.parse(text, "pi4")


OP = "error: m.tflite: {}: Didn't find op for builtin opcode '{}' version '{}'. An older version"


@pytest.mark.parametrize(
    ("code", "stderr", "message", "hint"),
    [
        (3, "error: no numpy\nhint: pip install numpy\n", "missing there: no numpy", "pip install"),
        (4, "INFO: x\nerror: m.tflite: broken\n", "can't run the model: m.tflite: broken", ""),
        (
            4,
            OP.format("tflite-runtime 2.14.0", "FULLY_CONNECTED", 12),
            "tflite-runtime 2.14.0 is too old for the model: FULLY_CONNECTED version 12 needs "
            "TFLite 2.17.0",
            "LiteRT would do",
        ),
        (
            4,
            OP.format("LiteRT 2.3.0", "CONV_2D", 99),
            "LiteRT 2.3.0 is too old for the model: CONV_2D version 99 needs a newer runtime",
            "a newer LiteRT would do",
        ),
        (
            4,
            "error: m_edgetpu.tflite: LiteRT 2.3.0: unresolved custom op: edgetpu-custom-op.",
            "can't run the model",
            "--delegate edgetpu",
        ),
        (6, "error: no golden pairs\n", "can't be used: no golden pairs", ""),
        (7, "error: delegate x: no\nhint: plug it in\n", "can't be loaded: delegate x: no", "plug"),
        (1, "Traceback …\nKeyError: 'x'\n", "this is a bug: KeyError: 'x'", ""),
        (99, "", "the script ended with 99: no message", ""),
        (-14, "", "it took too long", "--timeout"),
        (142, "", "it took too long", "--timeout"),
        (-11, "", "crashed on the model", "is the file whole"),
        (139, "Segmentation fault", "crashed on the model", "is the file whole"),
        (134, "terminate called", "crashed on the model", "is the file whole"),
        (132, "Illegal instruction", "built for another processor", "another build"),
        (137, "Killed", "for want of memory", "smaller model"),
    ],
)
def test_a_failure_says_what_and_the_way_out(
    code: int, stderr: str, message: str, hint: str
) -> None:
    told, way = call.failure(code, stderr)
    assert message in told
    assert hint in way
    assert "\n" not in told + way


def test_of_several_drifts_the_worst_is_kept() -> None:
    turns = [result([[100] * 10], drift={"ratio": ratio}) for ratio in (1.1, 1.4, 0.9)]
    assert merge([*turns, result([[100] * 10])]).drift == {"ratio": 1.4}


def test_turns_are_of_one_subject_though_its_memory_moves() -> None:
    one = result([[100] * 10])
    other = replace(one, host=replace(one.host, memory_bytes=5))
    assert len(merge([one, other]).processes) == 2
    for change in ({"delegate": "none"}, {"device": "pi4"}, {"input": "pictures"}):
        with pytest.raises(ValueError, match=f"they differ in {next(iter(change))}"):
            merge([one, result([[100] * 10], **change)])


def test_a_minute_of_a_small_model_can_be_compared() -> None:
    """300,000 samples, 2,000 times drawn anew, would be 5 GB."""
    before = result([samples * 6000 for samples in steady(1000, 1, 2)])
    after = result([samples * 4000 for samples in steady(900, 2, 2)])
    found = compare(before, after)
    assert found.significant
    assert found.ratio == pytest.approx(0.9, rel=0.01)
