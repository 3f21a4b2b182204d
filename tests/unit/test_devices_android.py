"""Measuring on a phone through benchmark_model, on a device that is not there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tfedge.benchmark.result import Host, Result, merge
from tfedge.devices.android import facts, measure, measures_by_python, state
from tfedge.devices.benchmark_model import Work
from tfedge.devices.device import Done
from tfedge.devices.fake import FakeDevice, Reply
from tfedge.errors import DeviceError

DATA = Path(__file__).parent / "data/benchmark_model"
SAID = (DATA / "tensorflow_2_18.txt").read_text(encoding="utf-8")
PROFILE = (DATA / "profile.txt").read_text(encoding="utf-8")
REFUSED = (DATA / "refused.txt").read_text(encoding="utf-8")

PROPERTIES = """\
ro.product.manufacturer=Google
ro.product.model=Pixel 7
ro.soc.manufacturer=Google
ro.soc.model=GS201
ro.build.version.release=14
machine=aarch64
kernel=Linux 5.10.157-android13
cores=8
governor=sched_pixel
MemTotal:        7725520 kB
processor\t: 0
CPU part\t: 0xd44
Hardware\t: GS201 board
"""
BATTERY = "Current Battery Service state:\n  level: 87\n  temperature: 312\n"
THERMAL = """\
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=BIG, mStatus=0}
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=48.25, mType=0, mName=LITTLE, mStatus=0}
\tTemperature{mValue=60.0, mType=1, mName=GPU, mStatus=0}
\tTemperature{mValue=0.0, mType=0, mName=none, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=99, mType=0, mName=cpu}
"""
CLOCKS = "frequency=1803000\nfrequency=2850000\nfrequency=\nload=2.5 2.4 2.3 3/900 1\n"
STATE = f"{BATTERY}{THERMAL}{CLOCKS}"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    model = tmp_path / "a model's.tflite"
    model.write_bytes(b"a model")
    return Work("int8", model, threads=2)


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    file = tmp_path / "android_aarch64_benchmark_model"
    file.write_bytes(b"a program")
    return file


class Phone(FakeDevice):
    """Answers with what the tool prints; ``asked`` is how it was called."""

    def __init__(self, says: Reply = (0, "", SAID), profile: str = PROFILE) -> None:
        super().__init__(self.reply, name="phone")
        self.says, self.profile = says, profile
        self.asked: list[tuple[str, ...]] = []

    def reply(self, argv: tuple[str, ...]) -> Reply:
        if argv[0] == "sh":
            return PROPERTIES if "getprop" in argv[2] else STATE
        self.asked.append(argv)
        if "--enable_op_profiling=true" in argv:
            return 0, self.profile, SAID
        return self.says


def test_a_process_is_one_sample_and_what_it_told_stays_beside_it(work: Work, tool: Path) -> None:
    with Phone() as phone:
        result = measure(phone, tool, work)
    assert result.samples == [8_752_000]
    assert (result.model, result.device, result.threads) == ("int8", "phone", 2)
    assert result.bytes == len(b"a model")
    assert result.sha256 == hashlib.sha256(b"a model").hexdigest()
    (process,) = result.processes
    assert (process.load_ns, process.first_ns) == (7_799_000, 12_710_000)
    assert process.warmup_ns == ()
    assert process.native is not None
    assert process.native["count"] == 50 and process.native["sample"] == "median"
    assert process.before == process.after
    assert "only 1 sample" in result.unstable
    assert Result.from_json(result.to_json()) == result


def test_the_runtime_is_that_very_binary(work: Work, tool: Path) -> None:
    with Phone() as phone:
        first = measure(phone, tool, work)
        tool.write_bytes(b"another program")
        second = measure(phone, tool, work)
    assert first.runtime == second.runtime == "benchmark_model"
    assert first.runtime_version != second.runtime_version
    with pytest.raises(ValueError, match="runtime_version"):
        merge([first, second])


def test_n_is_the_number_of_processes(work: Work, tool: Path) -> None:
    phone = Phone()
    with phone:
        results = []
        for median in (8752, 8700, 9000):
            phone.says = (0, "", SAID.replace("median=8752", f"median={median}"))
            results.append(measure(phone, tool, work))
    whole = merge(results)
    assert whole.samples == [8_752_000, 8_700_000, 9_000_000]
    assert (whole.summary.n, whole.summary.median) == (3, 8_752_000)
    assert phone.pushed == [tool, work.path]  # brought there once


def test_it_is_called_with_our_names_only(work: Work, tool: Path) -> None:
    with Phone() as phone:
        measure(phone, tool, work)
    (argv,) = phone.asked
    assert argv[0].endswith("/android_aarch64_benchmark_model")
    assert "'" not in argv[1] and " " not in argv[1]
    assert "--num_threads=2" in argv
    assert phone.timeouts[-2] > work.timeout  # the tool ends by itself before it is ended


def test_a_profile_comes_from_a_process_of_its_own(work: Work, tool: Path) -> None:
    work = replace(work, profile=True)
    with Phone() as phone:
        result = measure(phone, tool, work)
    assert [("--enable_op_profiling=true" in argv) for argv in phone.asked] == [False, True]
    assert result.profile is not None
    assert result.profile["types"][0]["ns"] == 358_000


@pytest.mark.parametrize(
    ("says", "message", "hint"),
    [
        (
            (1, "", REFUSED),
            r"phone: int8: benchmark_model: .*FULLY_CONNECTED version 12",
            "newer benchmark_model",
        ),
        ((1, "", "INFO: STARTING!\nERROR: Failed to mmap\n"), "Failed to mmap", "run here"),
        ((127, "", "x: not found"), "no program for this device: x: not found", "aarch64"),
        ((126, "", "x: Permission denied"), "no program for this device", "aarch64"),
        ((2, "", 'x: 1: Syntax error: "(" unexpected'), "no program for this device", "aarch64"),
        ((139, "", "Segmentation fault"), "ended there by signal 11", "broken"),
        ((0, "", "INFO: STARTING!\n"), "printed no measurement", ""),
        (DeviceError("phone: no answer within 9 s", "h"), "no answer within 9 s", "h"),
    ],
)
def test_faults(work: Work, tool: Path, says: Reply, message: str, hint: str) -> None:
    with Phone(says) as phone, pytest.raises(DeviceError, match=message) as caught:
        measure(phone, tool, work)
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_delegate_that_did_not_come_is_no_result(work: Work, tool: Path) -> None:
    work = replace(work, delegate="gpu")
    with Phone() as phone, pytest.raises(DeviceError, match="delegate gpu was not applied"):
        measure(phone, tool, work)


def test_facts() -> None:
    with Phone() as phone:
        assert facts(phone) == Host(
            board="Google Pixel 7",
            cpu="Google GS201",
            machine="aarch64",
            cores=8,
            system="Android 14",
            python=None,
            governor="sched_pixel",
            memory_bytes=7725520 * 1024,
        )


def test_facts_of_a_linux_that_has_no_properties() -> None:
    said = "ro.product.model=\nmachine=x86_64\nkernel=Linux 6.1\ncores=2\ngovernor=\n"
    with FakeDevice(lambda argv: said + "model name\t: a cpu\n") as device:
        found = facts(device)
    assert (found.board, found.cpu, found.system) == (None, "a cpu", "Linux 6.1")
    assert (found.governor, found.memory_bytes) == (None, None)


def test_state() -> None:
    """The hottest core as it is now, neither what is cached nor another part."""
    with Phone() as phone:
        assert state(phone) == {
            "temperature_c": 48.25,
            "frequency_hz": 2_850_000_000,
            "throttled": True,
            "load": 2.5,
        }


def test_state_where_only_the_battery_is_known_and_where_nothing_is() -> None:
    with FakeDevice(lambda argv: BATTERY + "Thermal Status: 0\nload=\n") as device:
        assert state(device) == {
            "temperature_c": 31.2,
            "frequency_hz": None,
            "throttled": False,
            "load": None,
        }
    with FakeDevice(lambda argv: "") as device:
        assert set(state(device).values()) == {None}


def test_python_goes_first_then_the_binary_then_the_ways_out(tool: Path) -> None:
    with FakeDevice(lambda argv: "") as device:
        assert measures_by_python(device, tool)
        assert measures_by_python(device, None)
    with FakeDevice(lambda argv: Done(argv, 127, "", "python3: not found\n")) as device:
        assert not measures_by_python(device, tool)
        with pytest.raises(DeviceError, match="python3 does not run there") as caught:
            measures_by_python(device, None)
    for way in ("benchmark_model", "Termux", "ssh://PHONE:8022"):
        assert way in caught.value.hint
