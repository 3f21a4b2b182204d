"""What the device script reads of a board: from a /proc and /sys made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfedge.benchmark.script import facts as sources
from tfedge.benchmark.script.statistics import disturbed

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": (
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
        "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
        "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
    ),
    "proc/meminfo": "MemTotal:        3884100 kB\nMemFree:           90000 kB\n",
    "proc/loadavg": "0.52 0.40 0.31 2/180 4711\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "ondemand\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "48312\n",
    f"{THERMAL}/thermal_zone1/type": "battery\n",
    f"{THERMAL}/thermal_zone1/temp": "99000\n",
    f"{THERMAL}/thermal_zone2/type": "soc_thermal\n",
    f"{THERMAL}/thermal_zone2/temp": "-274000\n",  # a sensor that is not there
}


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sources, "ROOT", tmp_path / "root")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "root"


def put(board: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (board / name).parent.mkdir(parents=True, exist_ok=True)
        (board / name).write_text(text)


def vcgencmd(board: Path, text: str) -> None:
    program = board.parent / "bin" / "vcgencmd"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def test_a_raspberry_pi(board: Path) -> None:
    put(board, PI)
    facts = sources.device()
    assert facts["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["cpu"] == "Cortex-A72"
    assert facts["governor"] == "ondemand"
    assert facts["memory_bytes"] == 3884100 * 1024
    assert isinstance(facts["memory_bytes"], int)
    assert sources.state() == {
        "temperature_c": 48.312,
        "frequency_hz": 1_500_000_000,
        "throttled": None,
        "load": 0.52,
    }


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("model name\t: AMD EPYC\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
        (
            "CPU part\t: 0xd05\n\nCPU part\t: 0xd41\n\nCPU part\t: 0xd05\n",
            "Cortex-A55 + Cortex-A78",
        ),
        ("CPU part\t: 0xfff\nHardware\t: Qualcomm SM8150\n", "Qualcomm SM8150"),
        ("model name\t: ARMv7 Processor rev 3 (v7l)\nCPU part\t: 0xd08\n", "Cortex-A72"),
    ],
)
def test_the_name_of_the_cpu(cpuinfo: str, name: str, board: Path) -> None:
    put(board, {"proc/cpuinfo": cpuinfo})
    assert sources.device()["cpu"] == name


def test_what_can_t_be_read_is_null(board: Path) -> None:
    facts = sources.device()
    assert [facts[key] for key in ("board", "governor", "memory_bytes")] == [None] * 3
    assert set(sources.state().values()) == {None}
    put(board, {f"{THERMAL}/thermal_zone0/temp": "not a number\n", "proc/loadavg": ""})
    assert set(sources.state().values()) == {None}


def test_without_a_cpu_sensor_the_hottest_of_all(board: Path) -> None:
    put(board, {f"{THERMAL}/thermal_zone{i}/temp": f"{41 + i}000\n" for i in range(3)})
    assert sources.state()["temperature_c"] == 43


@pytest.mark.parametrize(
    ("said", "throttled"),
    [
        ("echo throttled=0x0", False),
        ("echo throttled=0x50000", False),  # since the boot, but not now
        ("echo throttled=0x50005", True),
        ("echo VCHI initialization failed; exit 1", None),
        ("echo throttled=what", None),
    ],
)
def test_throttling_of_a_pi(said: str, throttled: bool | None, board: Path) -> None:
    vcgencmd(board, said)
    assert sources.state()["throttled"] is throttled


def test_throttling_by_the_cooling_devices_of_the_cpu(board: Path) -> None:
    cooling = f"{THERMAL}/cooling_device"
    put(board, {f"{cooling}0/type": "pwm-fan", f"{cooling}0/cur_state": "3"})
    assert sources.state()["throttled"] is None, "a fan holds nothing back"
    put(board, {f"{cooling}1/type": "thermal-cpufreq-0", f"{cooling}1/cur_state": "0"})
    assert sources.state()["throttled"] is False
    put(board, {f"{cooling}2/type": "Processor", f"{cooling}2/cur_state": "2"})
    assert sources.state()["throttled"] is True


CALM = {"temperature_c": 50.0, "frequency_hz": 1_500_000_000, "throttled": False, "load": 1.0}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, []),
        ({"temperature_c": 58.0, "frequency_hz": 1_450_000_000, "load": 3.0}, []),
        ({"temperature_c": 70.0}, ["temperature_c moved between 50 and 70"]),
        (
            {"frequency_hz": 600_000_000},
            ["frequency_hz moved between 600,000,000 and 1,500,000,000"],
        ),
        ({"throttled": True}, ["the CPU was throttled (heat or power)"]),
        ({"temperature_c": None, "frequency_hz": None, "throttled": None}, []),
    ],
)
def test_what_happened_meanwhile_is_said(after: dict, said: list[str]) -> None:
    process = {"before": CALM, "after": CALM | after}
    unknown = {"before": None, "after": None}
    assert disturbed([process, unknown, process], None) == said


def test_a_drift_is_said() -> None:
    assert disturbed([], {"ratio": 1.05}) == []
    (said,) = disturbed([], {"ratio": 1.31})
    assert said == "the last samples took 1.31 times as long as the first"
