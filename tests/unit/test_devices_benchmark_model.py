"""What benchmark_model prints, in three generations of it, and how it is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tfedge.devices.benchmark_model import (
    Unreadable,
    Work,
    command,
    failure,
    parse,
    parse_profile,
)

DATA = Path(__file__).parent / "data/benchmark_model"


def said(name: str) -> str:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8")


def test_tensorflow_2_18() -> None:
    reading = parse(said("tensorflow_2_18"), "xnnpack")
    assert reading.load_us == 7799
    assert (reading.warmup.count, reading.warmup.first) == (11, 12710)
    assert reading.timed.typical == ("median", 8752)
    assert reading.native() == {
        "count": 50,
        "min_ns": 8_698_000,
        "max_ns": 9_940_000,
        "avg_ns": 8_804_800,
        "std_ns": 188_000,
        "median_ns": 8_752_000,
        "p5_ns": 8_703_000,
        "p95_ns": 9_129_000,
        "sample": "median",
        "warmup": {"count": 11, "avg_ns": 9_230_200},
        "delegated": "62 of 65 nodes",
        "memory_bytes": {"init": round(23.5938 * 2**20), "overall": round(26.6797 * 2**20)},
    }


def test_older_ones_print_no_median_and_large_means_in_another_notation() -> None:
    reading = parse(said("tensorflow_2_12"), "xnnpack")
    assert reading.timed.median is None
    assert reading.timed.typical == ("avg", 1_240_270)
    assert reading.timed.max == 2_400_000
    assert reading.native()["median_ns"] is None
    assert reading.delegated == "partially"


def test_litert_s_prints_other_headings() -> None:
    """And a model so fast that all inferences took the same number of microseconds."""
    reading = parse(said("litert_2_2"), "xnnpack")  # it does not know the flag, and applies it
    assert reading.load_us == 5757
    assert (reading.timed.count, reading.timed.min, reading.timed.max) == (50, 57, 57)
    assert reading.timed.std == 0
    assert reading.memory_bytes == {"init": 4_718_592, "overall": 7_602_176}


def test_a_coarse_median_gives_way_to_the_mean() -> None:
    """57 µs in whole microseconds is known to 2 % only."""
    text = said("litert_2_2").replace(
        "curr=57(all same)", "first=56 curr=58 min=56 max=60 avg=57.4"
    )
    assert parse(text, "xnnpack").timed.typical == ("avg", 57.4)


@pytest.mark.parametrize(
    ("old", "new", "delegate", "reason"),
    [
        ("count=50", "number=50", "xnnpack", "printed no measurement"),
        ("Initialized session", "Initialised", "xnnpack", "printed no measurement"),
        ("Inference timings in us", "", "xnnpack", "printed no measurement"),
        ("count=50 ", "count=0 ", "xnnpack", "before the first inference"),
        ("", "", "gpu", "the delegate gpu was not applied"),
        ("", "", "nnapi", "the delegate nnapi was not applied"),
        ("", "", "/vendor/lib/libvx.so", "the delegate /vendor/lib/libvx.so was not applied"),
    ],
)
def test_no_measurement_is_ever_made_up(old: str, new: str, delegate: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse(said("tensorflow_2_18").replace(old, new), delegate)


def test_a_delegate_that_was_left_out_is_no_result_of_it() -> None:
    text = said("litert_2_2")
    with pytest.raises(Unreadable, match="does not know --external_delegate_path"):
        parse(text.replace("--use_xnnpack=true", "--external_delegate_path=x.so"), "x.so")
    with pytest.raises(Unreadable, match="can't do without XNNPACK"):
        parse(text.replace("--use_xnnpack=true", "--use_xnnpack=false"), "none")
    with pytest.raises(Unreadable, match="has no XNNPACK"):
        parse(text.replace("XNNPACK delegate", "no delegate"), "xnnpack")


def test_another_delegate_is_believed_when_it_says_so() -> None:
    text = said("tensorflow_2_18").replace("TfLiteXNNPackDelegate", "TfLiteGpuDelegateV2")
    assert parse(text, "gpu").delegated == "62 of 65 nodes"
    applied = "Explicitly applied GPU delegate, and the model graph will be completely executed"
    text = f"{said('tensorflow_2_12')}\n{applied} by the delegate."
    assert parse(text, "gpu").delegated == "completely"
    plain = said("tensorflow_2_18").replace("XNNPACK", "").replace("Replacing", "")
    assert parse(plain, "none").delegated is None


def test_why_it_failed_is_not_the_last_line() -> None:
    assert failure(said("refused")).startswith("Didn't find op for builtin opcode")
    assert failure("a\n\nKilled\n") == "Killed"
    assert failure("") == "it printed nothing"


def test_profile() -> None:
    found = parse_profile(said("tensorflow_2_18") + said("profile"))
    assert found is not None
    assert [(t["op"], t["count"], t["ns"]) for t in found["types"]] == [
        ("Convolution (NHWC, QS8) IGEMM", 2, 358_000),
        ("Convolution (NHWC, QS8) DWConv", 1, 122_000),
        ("SOFTMAX", 1, 20_000),
    ]
    assert sum(t["share"] for t in found["types"]) == pytest.approx(1)
    assert [op["ns"] for op in found["ops"]] == [278_000, 122_000, 80_000, 20_000]  # in their order
    assert found["ops"][3] == {
        "index": 3,
        "op": "SOFTMAX",
        "name": "StatefulPartitionedCall:0",
        "ns": 20_000,
    }
    assert parse_profile(said("tensorflow_2_18")) is None


def test_command() -> None:
    found = command("/there/tool", "/there/model.tflite", Work("int8", Path(), threads=2))
    assert found[:2] == ["/there/tool", "--graph=/there/model.tflite"]
    assert (
        {
            "--num_threads=2",
            "--warmup_runs=11",  # the first inference is one of them
            "--warmup_min_secs=0",
            "--num_runs=50",
            "--min_secs=0",
            "--max_secs=1800",
            "--use_xnnpack=true",
        }
        == set(found[2:])
    )


def test_command_for_a_time_and_for_other_delegates() -> None:
    work = Work("int8", Path(), threads=2, timeout=90.0)
    found = command("t", "m", replace(work, delegate="none", seconds=60.0), profile=True)
    assert {"--num_runs=1", "--min_secs=60", "--max_secs=90"} < set(found)
    assert {"--use_xnnpack=false", "--enable_op_profiling=true"} < set(found)
    found = command("t", "m", replace(work, delegate="/l/libvx.so,cache=1,a=b=c"))
    assert found[-2:] == [
        "--external_delegate_path=/l/libvx.so",
        "--external_delegate_options=cache:1;a:b=c",
    ]
