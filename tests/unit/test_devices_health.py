"""What a device lacks, and the command for it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tfedge.devices.address import parse
from tfedge.devices.device import Done
from tfedge.devices.fake import FakeDevice, Reply
from tfedge.devices.health import Health, examine
from tfedge.devices.local import LocalDevice
from tfedge.devices.remedies import package_for, there
from tfedge.devices.schema import BenchDevice
from tfedge.errors import DeviceError, MissingDependency
from tfedge.report.devices import document, table

PI = "ssh://pi@raspberrypi.local:2222"
SSH = "ssh -p 2222 pi@raspberrypi.local"


@dataclass
class Pi:
    """What a Raspberry Pi would answer; each test takes something away."""

    told: dict[str, Any] = field(
        default_factory=lambda: {
            "version": [3, 11, 2],
            "machine": "aarch64",
            "managed": False,
            "pip": True,
            "venv": True,
            "delegate": True,
        }
    )
    numpy: str | None = "1.26.4"
    runtimes: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": "LiteRT", "version": "2.3.0", "error": None}]
    )
    free: int = 10_000_000_000
    instead: Reply | None = None  # of the probe's answer

    def answer(self, argv: tuple[str, ...]) -> Reply:
        if argv[1] == "-c":
            return json.dumps(self.told) if self.instead is None else self.instead
        assert argv[-2:] == ("--facts", "--json=-")
        device = {"cpu": "Cortex-A72", "cores": 4, "machine": "aarch64", "board": "Raspberry Pi 4"}
        device |= {"system": "Linux 6", "python": "3.11.2", "numpy": self.numpy}
        report = {"device": device, "runtimes": self.runtimes, "free_bytes": self.free}
        return json.dumps({"schema": "tfedge.bench/1", "results": [], **report})

    def health(self, address: str = PI, **options: Any) -> Health:
        device = BenchDevice(name="pi", address=address, **options)
        return examine(device, connect=lambda _: FakeDevice(self.answer, name="pi"))


def commands(health: Health) -> list[str]:
    return [missing.command for missing in health.missing]


def test_all_is_there() -> None:
    health = Pi().health()
    assert health.ready and health.missing == ()
    assert (health.python, health.numpy, health.machine) == ("3.11.2", "1.26.4", "aarch64")
    assert health.runtimes == ("LiteRT 2.3.0",) and health.facts["board"] == "Raspberry Pi 4"
    said = table([health])
    assert said.startswith(f"pi  ready  ({PI})\n    Raspberry Pi 4, Cortex-A72 (aarch64), 4 cores")
    assert "LiteRT 2.3.0; 10.0 GB free" in " ".join(said.split())
    assert document([health])["devices"][0]["ready"] is True


def test_numpy_and_a_runtime_by_one_command() -> None:
    health = Pi(numpy=None, runtimes=[]).health()
    assert [missing.what for missing in health.missing] == ["numpy and a TFLite runtime"]
    assert commands(health) == [f"{SSH} python3 -m pip install ai-edge-litert numpy"]
    assert not health.ready and "pi  not ready" in table([health])
    assert f"\n        {commands(health)[0]}" in table([health]), "whole, to be copied"


def test_an_old_machine_gets_the_old_runtime_and_numpy() -> None:
    told = Pi().told | {"version": [3, 9, 2], "machine": "armv7l"}
    health = Pi(told, numpy=None, runtimes=[]).health()
    assert commands(health) == [f"{SSH} \"python3 -m pip install tflite-runtime 'numpy<2'\""]


def test_a_runtime_that_does_not_work_with_its_numpy() -> None:
    broken = {"name": "tflite-runtime", "version": "2.14.0", "error": "numpy.core failed to import"}
    health = Pi(numpy="2.1.0", runtimes=[broken]).health()
    assert health.missing[0].what == "a tflite-runtime that works: numpy.core failed to import"
    assert commands(health) == [f"{SSH} \"python3 -m pip install 'numpy<2'\""]
    assert health.runtimes == (), "what does not work is not counted"
    works = Pi().runtimes[0]
    assert Pi(runtimes=[broken, works]).health().ready, "one that works is enough"
    assert not Pi(runtimes=[broken, works]).health(runtime="tflite-runtime").ready
    assert not Pi(runtimes=[works]).health(runtime="tflite-runtime").ready


def test_no_wheel_for_it_is_said_and_nothing_is_made_up() -> None:
    told = Pi().told | {"version": [3, 13, 0], "machine": "armv7l"}
    (missing,) = Pi(told, runtimes=[]).health().missing
    assert missing.what == "a TFLite runtime (no wheel for Python 3.13 on armv7l)"
    assert missing.command == ""


@pytest.mark.parametrize(
    ("runtime", "version", "machine", "package"),
    [
        ("auto", (3, 10), "x86_64", "ai-edge-litert"),
        ("auto", (3, 9), "x86_64", "tflite-runtime"),
        ("auto", (3, 11), "armv7l", "tflite-runtime"),
        ("auto", (3, 12), "armv7l", ""),
        ("auto", (3, 11), "riscv64", ""),
        ("litert", (3, 9), "aarch64", ""),
        ("tflite-runtime", (3, 11), "aarch64", "tflite-runtime"),
        ("tflite-runtime", (3, 12), "aarch64", ""),
        ("pycoral", (3, 9), "aarch64", ""),
    ],
)
def test_which_package(runtime: str, version: tuple[int, int], machine: str, package: str) -> None:
    assert package_for(runtime, version, machine) == package


def test_a_system_s_python_is_left_alone() -> None:
    """PEP 668: pip refuses there."""
    told = Pi().told | {"managed": True}
    (command,) = commands(Pi(told, runtimes=[]).health())
    assert command == (
        f'{SSH} "python3 -m venv ~/tfedge-venv && ~/tfedge-venv/bin/pip install ai-edge-litert"'
        "  # then python: ~/tfedge-venv/bin/python in devices.yaml"
    )
    (command,) = commands(Pi(told | {"venv": False}, runtimes=[]).health("local:/usr/bin/python3"))
    assert command.startswith("sudo apt-get install -y python3-venv && python3 -m venv ~/tfedge-ve")
    assert command.endswith("# then address: local:~/tfedge-venv/bin/python in devices.yaml")
    (command,) = commands(Pi(Pi().told | {"pip": False}, runtimes=[]).health())
    assert "sudo apt-get install -y python3-pip && python3 -m pip install" in command


def test_no_python_too_old_a_python_and_no_space() -> None:
    health = Pi(instead=(127, "", "python3: not found\n")).health()
    assert "Python: python3 does not run there: python3: not found" in health.missing[0].what
    assert commands(health) == [f"{SSH} sudo apt-get install -y python3 python3-venv"]
    old = Pi(Pi().told | {"version": [3, 6, 9]}).health()
    assert old.missing[0].what == "Python 3.7 or newer: it has 3.6" and old.python == "3.6.9"
    full = Pi(free=5_000_000).health()
    assert [m.what for m in full.missing] == ["space: 5 MB are free, 100 MB are needed"]


def test_a_delegate_s_library() -> None:
    told = Pi().told | {"delegate": False}
    (missing,) = Pi(told).health(delegate="edgetpu").missing
    assert "Edge TPU" in missing.what and missing.command.endswith("-y libedgetpu1-std")
    (missing,) = Pi(told).health(delegate="/opt/x.so,a=b").missing
    assert missing.what == "the delegate's library: /opt/x.so can't be loaded there"


def test_the_probe_is_asked_for_the_library() -> None:
    asked = []

    def answer(argv: tuple[str, ...]) -> Reply:
        asked.append(argv)
        return Pi().answer(argv)

    for delegate in ("xnnpack", "none", "edgetpu", "/opt/x.so,a=b"):
        device = BenchDevice(name="pi", address=PI, delegate=delegate)
        examine(device, connect=lambda _: FakeDevice(answer))
    assert [argv[3] for argv in asked if argv[1] == "-c"] == [
        "",
        "",
        "libedgetpu.so.1",
        "/opt/x.so",
    ]


@pytest.mark.parametrize(
    "error", [DeviceError("pi: refused", "start sshd"), MissingDependency("no ssh", "apt …")]
)
def test_a_device_that_is_away(error: DeviceError) -> None:
    device = BenchDevice(name="pi", address=PI)
    health = examine(device, connect=lambda _: FakeDevice(away=error))
    assert health.problem in ("refused", "no ssh") and not health.ready
    assert health.problem in table([health]) and f"hint: {error.hint}" in table([health])


@pytest.mark.parametrize("reply", [(1, "", "ImportError: x"), "no JSON"])
def test_a_python_that_is_odd_is_a_problem_not_a_crash(reply: Reply) -> None:
    health = Pi(instead=reply).health("adb")
    assert health.problem and not health.ready


def test_an_android_device_without_python(tmp_path: Path) -> None:
    health = Pi(instead=(127, "", "python3: inaccessible or not found")).health("adb")
    assert "does not run there" in health.problem and "Termux" in health.hint
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(b"x")

    def answer(argv: tuple[str, ...]) -> Reply:
        if argv[1:2] == ("-c",) and argv[0] != "sh":
            return Done(argv, 127, "", "python3: not found")
        return "ro.product.model=Pixel 8\nmachine=aarch64\ncores=8\n"

    device = BenchDevice(name="phone", address="adb")
    health = examine(device, tool, connect=lambda _: FakeDevice(answer))
    assert health.ready and health.runtimes == ("benchmark_model (benchmark_model)",)
    assert health.machine == "aarch64" and "Pixel 8" in str(health.facts["board"])


@pytest.mark.parametrize(
    "words", [["plain", "a/b=c"], ["it's", "x"], ["a b", "<2"], ["$HOME", '"q"', "!x", "`y`"]]
)
def test_commands_come_through_a_shell_and_ssh(words: list[str]) -> None:
    """What a person types here is what the shell there gets."""
    line = there(parse("ssh://pi@board"), shlex.join(["printf", "%s+", *words]))
    shell = f'ssh() {{ shift; eval "$*"; }}; {line}'  # ssh joins its words and a shell reads them
    ran = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert ran.stdout == "".join(f"{word}+" for word in words)


def test_this_machine_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden" / "tensorflow"  # it takes seconds to import
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(hidden.parent))
    here = BenchDevice(name="local", address="local")
    health = examine(
        here, connect=lambda _: LocalDevice(python=(sys.executable,), workspace=tmp_path)
    )
    assert health.problem == "" and health.numpy
    assert any(runtime.startswith("LiteRT 2.") for runtime in health.runtimes)
    absent = here.model_copy(update={"delegate": "/nowhere/lib.so"})
    health = examine(
        absent, connect=lambda _: LocalDevice(python=(sys.executable,), workspace=tmp_path)
    )
    assert "/nowhere/lib.so can't be loaded" in health.missing[0].what
