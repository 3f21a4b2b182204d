"""A real adbd: commands, files, the lock, and that nothing of it stays when things go wrong."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import adbd
import pytest
from adbd import SERIAL, Phone
from arm64 import MODEL, PAIRS, arm64_root, write_golden
from boards import eventually
from from_debian import Unavailable

from tfedge.benchmark import call
from tfedge.benchmark.result import Result, merge
from tfedge.devices.adb import WORKSPACE, AdbDevice
from tfedge.devices.address import open_device
from tfedge.devices.android import measure, measures_by_python
from tfedge.devices.benchmark_model import Work
from tfedge.devices.device import Busy, patiently
from tfedge.errors import DeviceError

DATA = Path(__file__).resolve().parents[1] / "unit/data/benchmark_model"
NAP = "napping=1; while :; do sleep 1; done"


def device(name: str = "phone", **options: object) -> AdbDevice:
    return AdbDevice(SERIAL, name=name, **options)  # type: ignore[arg-type]


def napping(phone: Phone) -> bool:
    return any("napping" in command for command in phone.commands())


def test_words_and_codes_come_through(phone: Phone) -> None:
    words = ["a  b", "c'd\"e", "$HOME", "`id`", "new\nline", "; exit 3", "ü", "", "-n", "*", "\\"]
    with device() as there:
        done = there.run(
            [sys.executable, "-c", "import sys; print(sys.argv[1:])", *words], timeout=60
        )
        assert done.stdout == f"{words}\n"
        done = there.run(["sh", "-c", "echo out; echo err >&2; exit 255"], timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (255, "out\n", "err\n")
        assert there.run(["sh", "-c", "kill -SEGV $$"], timeout=60).returncode == 128 + 11
        assert there.run(["no-such-command"], timeout=60).returncode == 127
    assert phone.commands() == []


def test_files_go_there_by_their_digest_and_come_back(phone: Phone, tmp_path: Path) -> None:
    model = tmp_path / "it's a $(touch pwned) model;.tflite"
    model.write_bytes(os.urandom(3_000_000))
    with device() as there:
        path = there.push(model)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        assert path.startswith(f"{WORKSPACE}/{digest}/")
        copy = phone.see(path)
        assert copy.read_bytes() == model.read_bytes()
        sent = copy.stat().st_ino
        assert there.push(model) == path
        assert copy.stat().st_ino == sent  # not sent again
        copy.write_bytes(b"x" * 3_000_000)  # of the same size: it is the digest that counts
        there.push(model)
        assert copy.read_bytes() == model.read_bytes()
        there.pull(path, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == model.read_bytes()
        with pytest.raises(DeviceError, match="can't be fetched"):
            there.pull("/data/nothing", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert not any(phone.see(folder).joinpath("pwned").exists() for folder in ("/", WORKSPACE))
    assert phone.commands() == []


def test_disk_full(phone: Phone, tmp_path: Path) -> None:
    model, small = tmp_path / "model.tflite", tmp_path / "small.tflite"
    with model.open("wb") as file:
        file.truncate(200_000_000)  # there are 160 MiB
    small.write_bytes(b"small")
    with device() as there:
        with pytest.raises(DeviceError, match=r"disk full: no room for .*200,000,000 bytes"):
            there.push(model)
        assert [path.name for path in phone.see(WORKSPACE).iterdir()] == ["lock"]
        assert phone.see(there.push(small)).read_bytes() == b"small"


def test_a_time_out_leaves_nothing_running(phone: Phone) -> None:
    with device() as there:
        with pytest.raises(DeviceError, match="no answer within 1 s"):
            there.run(["sh", "-c", NAP], timeout=1)
        assert eventually(lambda: not napping(phone))
        assert there.run(["echo", "well"], timeout=60).stdout == "well\n"


HOLDER = """
import sys
from tfedge.devices.adb import AdbDevice
with AdbDevice(sys.argv[1]) as there:
    print("held", flush=True)
    there.run(["sh", "-c", sys.argv[2]], timeout=600)
"""


def holder() -> subprocess.Popen[str]:
    """Another process that measures."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, SERIAL, NAP], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_nothing_stays_when_this_process_ends(phone: Phone, end: signal.Signals) -> None:
    process = holder()
    assert eventually(lambda: napping(phone))
    process.send_signal(end)
    process.communicate()
    assert eventually(lambda: phone.commands() == [])
    with device() as there:  # and it is free again
        assert there.run(["true"], timeout=60).returncode == 0


def test_two_benches_at_once(phone: Phone) -> None:
    process = holder()
    try:
        with pytest.raises(Busy, match=r"phone: busy: a bench of .*@.* is running on it") as caught:
            device().__enter__()
        assert f"adb -s {SERIAL} shell kill" in caught.value.hint
    finally:
        process.kill()
        process.communicate()
    patiently(device().__enter__, 60).__exit__()


@pytest.mark.parametrize(
    "cut", [Phone.stop, lambda phone: phone.ask("kill-server")], ids=["device", "server"]
)
def test_the_connection_is_lost_in_the_middle(phone: Phone, cut: Callable[[Phone], None]) -> None:
    with device() as there:
        thread = threading.Thread(target=lambda: eventually(lambda: napping(phone)) and cut(phone))
        thread.start()
        with pytest.raises(DeviceError, match="phone: the connection was lost") as caught:
            there.run(["sh", "-c", NAP], timeout=600)
        thread.join()
        assert "\n" not in caught.value.message
        with pytest.raises(DeviceError, match="phone: the connection was lost"):
            there.run(["true"], timeout=60)
        phone.ask("connect", SERIAL)
        with pytest.raises(DeviceError, match="phone: the connection was lost"):
            there.run(["true"], timeout=60)  # attached again, but the lock has gone
    if phone.process.poll() is None:
        assert eventually(lambda: phone.commands() == [])


def test_which_device(phone: Phone) -> None:
    with pytest.raises(DeviceError, match="no device is attached"):
        open_device("adb").__enter__()
    with pytest.raises(DeviceError, match="connection refused") as caught:
        open_device("adb:127.0.0.1:5601").__enter__()
    assert "wireless debugging" in caught.value.hint
    with open_device(f"adb:{SERIAL}") as there:
        assert there.name == f"adb:{SERIAL}"
    with open_device("adb") as there:  # it is attached now
        assert there.run(["echo", "hello"], timeout=60).stdout == "hello\n"
    phone.ask("connect", f"localhost:{adbd.PORT}")
    with pytest.raises(DeviceError, match="2 devices are attached") as caught:
        open_device("adb").__enter__()
    assert SERIAL in caught.value.message
    with open_device(f"adb:{SERIAL}") as there:  # one of two
        assert there.run(["true"], timeout=60).returncode == 0
    phone.stop()
    with pytest.raises(DeviceError, match=r"refused|offline"):
        open_device(f"adb:{SERIAL}").__enter__()


def bench(there: AdbDevice, golden: Path, **options: object) -> Result:
    """The device script's answer from there."""
    words = call.command(
        there.python,
        there.push(call.script_file()),
        there.push(MODEL),
        threads=1,
        runs=3,
        warmup=1,
        golden=there.push(golden),
        timeout=300,
        **options,
    )
    done = there.run(words, timeout=330)
    assert done.returncode == 0, done.stderr
    (result,) = call.parse(done.stdout, there.name)
    return result


def test_python_measures_there(phone: Phone, tmp_path: Path) -> None:
    if not phone.see(sys.executable).exists():
        pytest.skip(f"{sys.executable} is not among the files that the phone shares")
    golden = write_golden(tmp_path / "pairs")
    with device(python=(sys.executable,)) as there:
        assert measures_by_python(there, None)
        result = bench(there, golden, exact=True)
    assert len(result.samples) == 3
    assert result.golden == {
        "pairs": PAIRS,
        "identical": PAIRS,
        "max_difference": 0,
        "top1_agree": PAIRS,
        "failed": 0,
        "failure": None,
    }
    assert (result.device, result.runtime) == ("phone", "LiteRT")
    assert phone.commands() == []


def test_an_arm_over_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = arm64_root()
    scratch = tmp_path / "phone"
    scratch.mkdir()
    golden = write_golden(tmp_path / "pairs")
    try:
        with adbd.start(scratch, arm64=root) as phone:
            monkeypatch.setenv("PATH", f"{phone.adb.parent}:{os.environ['PATH']}")
            with device(python=("/opt/litert/bin/python3",)) as there:
                result = bench(there, golden, exact=True)
    except Unavailable as error:
        pytest.skip(str(error))
    assert result.host.machine == "aarch64"
    assert result.golden is not None and result.golden["identical"] == PAIRS


def fake_tool(folder: Path, said: str) -> Path:
    """A program in benchmark_model's place that says what that said, and how it was called."""
    tool = folder / "android_aarch64_benchmark_model"
    tool.write_text(
        f'#!/bin/sh\nfor a in "$@"; do echo "$a"; done >"$0.asked"\ncat >&2 <<"end"\n{said}end\n'
    )
    return tool


def test_benchmark_model_measures_where_python_does_not(phone: Phone, tmp_path: Path) -> None:
    phone.provide("getprop", 'case "$1" in *model) echo Pixel;; *release) echo 14;; esac')
    phone.provide("dumpsys", '[ "$1" != battery ] || echo "  temperature: 287"')
    tool = fake_tool(tmp_path, (DATA / "tensorflow_2_18.txt").read_text())
    work = Work("int8", MODEL, threads=2)
    with device(python=("no-python",)) as there:
        assert not measures_by_python(there, tool)
        with pytest.raises(DeviceError, match="no-python does not run there: no-python: not found"):
            measures_by_python(there, None)
        result = merge([measure(there, tool, work) for _ in range(2)])
        asked = phone.see(f"{there.push(tool)}.asked").read_text().splitlines()
    assert result.samples == [8_752_000, 8_752_000]
    assert (result.host.board, result.host.system) == ("Pixel", "Android 14")
    assert result.host.machine == os.uname().machine
    assert result.processes[0].before is not None
    assert result.processes[0].before["temperature_c"] == 28.7
    assert f"--graph={WORKSPACE}" in asked[0] and "--num_threads=2" in asked
    json.dumps(result.to_json())


def test_a_binary_for_another_processor(phone: Phone, tmp_path: Path) -> None:
    tool = tmp_path / "benchmark_model"
    header = bytearray(Path("/bin/true").read_bytes())
    header[18] = 0xF3  # e_machine: RISC-V
    tool.write_bytes(header)
    with device() as there, pytest.raises(DeviceError, match="is no program for this device"):
        measure(there, tool, Work("int8", MODEL))


def test_a_binary_that_hangs_is_ended(
    phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfedge.devices.android._GRACE", 1.0)
    tool = tmp_path / "benchmark_model"
    tool.write_text(f"#!/bin/sh\n{NAP}\n")
    with device() as there, pytest.raises(DeviceError, match="no answer within 1"):
        measure(there, tool, replace(Work("int8", MODEL), timeout=0.0))
    assert eventually(lambda: phone.commands() == [])


def test_a_real_benchmark_model(phone: Phone) -> None:
    """The binary that a user has: TensorFlow's or LiteRT's, for this machine."""
    named = os.environ.get("TFEDGE_BENCHMARK_MODEL")
    if not named:
        pytest.skip("$TFEDGE_BENCHMARK_MODEL names no benchmark_model for this machine")
    with device() as there:
        result = measure(there, Path(named), Work("int8", MODEL, runs=20, profile=True))
    native = result.processes[0].native
    assert native is not None and native["count"] == 20
    assert 0 < native["min_ns"] <= result.samples[0] <= native["max_ns"]
