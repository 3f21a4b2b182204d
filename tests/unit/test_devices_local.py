"""This machine as a device, and the fake one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tfedge.devices.device import Busy, Done, patiently
from tfedge.devices.fake import FakeDevice
from tfedge.devices.local import LocalDevice
from tfedge.errors import DeviceError


@pytest.fixture
def local(tmp_path: Path) -> LocalDevice:
    return LocalDevice(python=(sys.executable,), workspace=tmp_path / "work")


def test_runs_the_interpreter_it_was_given(local: LocalDevice, tmp_path: Path) -> None:
    script = tmp_path / "a 'script' $(x).py"
    script.write_text(
        "import sys; print(sys.argv[1:]); print(sys.prefix, file=sys.stderr); sys.exit(255)"
    )
    with local as device:
        done = device.run([*device.python, device.push(script), "a b", "--attached"], timeout=60)
    assert (done.returncode, done.stdout) == (255, "['a b', '--attached']\n")
    assert done.stderr == f"{sys.prefix}\n"  # a venv's python stays that venv's


def test_a_signal_is_told_as_on_every_device(local: LocalDevice) -> None:
    with local as device:
        assert device.run(["sh", "-c", "kill -KILL $$"], timeout=60).returncode == 128 + 9


def test_a_command_that_hangs_is_ended(local: LocalDevice, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    with local as device, pytest.raises(DeviceError, match=r"local: no answer within 0\.5 s"):
        device.run(["sh", "-c", f"echo $$ >{alive}; exec sleep 600"], timeout=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(alive.read_text()), 0)


def test_nothing_is_copied(local: LocalDevice, tmp_path: Path) -> None:
    model = tmp_path / "-model.tflite"
    model.write_bytes(b"model")
    with local as device:
        assert device.push(model) == str(model.resolve())
        with pytest.raises(DeviceError, match="gone: no such file"):
            device.push(tmp_path / "gone")
        device.pull(str(model), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"model"


@pytest.mark.parametrize("python", ["/no/such/python", "no-such-python"])
def test_no_interpreter(python: str, tmp_path: Path) -> None:
    device = LocalDevice("venv", python=(python,), workspace=tmp_path)
    with pytest.raises(DeviceError, match=f"venv: no interpreter at {python}"):
        device.__enter__()


def test_a_folder_that_can_t_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    device = LocalDevice(python=(sys.executable,), workspace=tmp_path / "file/work")
    with pytest.raises(DeviceError, match="can't be written"):
        device.__enter__()


def other_process(workspace: Path) -> subprocess.Popen[str]:
    code = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from tfedge.devices.local import LocalDevice
        with LocalDevice(python=(sys.executable,), workspace=Path({str(workspace)!r})):
            print("held", flush=True)
            time.sleep(600)
        """
    )
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_one_bench_at_a_time(local: LocalDevice, tmp_path: Path) -> None:
    other = other_process(tmp_path / "work")
    with other:
        try:
            with pytest.raises(Busy, match=r"local: busy: a bench of .+@.+ is running") as caught:
                local.__enter__()
            assert f"kill {other.pid}" in caught.value.hint
            # A waiting one gets its turn, even when the first was killed.
            threading.Timer(0.5, other.kill).start()
            waiting = LocalDevice(python=(sys.executable,), workspace=tmp_path / "work")
            patiently(waiting.__enter__, 60).__exit__()
        finally:
            other.kill()


def test_two_interpreters_of_this_machine_in_one_bench(local: LocalDevice, tmp_path: Path) -> None:
    venv = LocalDevice("venv", python=(sys.executable, "-I"), workspace=tmp_path / "work")
    with local, venv:
        assert venv.run(["true"], timeout=60).returncode == 0


def test_the_lock_can_be_taken_again(local: LocalDevice, tmp_path: Path) -> None:
    with local:
        pass
    with other_process(tmp_path / "work") as other:
        other.kill()
    with local:
        pass


def test_a_device_that_is_not_entered(local: LocalDevice) -> None:
    with pytest.raises(RuntimeError, match="outside its with block"):
        local.run(["true"], timeout=60)


def test_the_fake_answers_and_remembers(tmp_path: Path) -> None:
    model = tmp_path / "a b.tflite"
    model.write_bytes(b"model")
    answers = {"out": "out\n", "fails": (3, "", "err"), "done": Done(("x",), 0, "", "")}
    device = FakeDevice(lambda argv: answers.get(argv[0], DeviceError("fake: lost")))
    with pytest.raises(RuntimeError, match="outside its with block"):
        device.run(["out"], timeout=1)
    with device:
        assert device.run(["out"], timeout=7) == Done(("out",), 0, "out\n", "")
        assert device.run(["fails"], timeout=8) == Done(("fails",), 3, "", "err")
        assert device.run(["done"], timeout=8).argv == ("x",)
        with pytest.raises(DeviceError, match="fake: lost"):
            device.run(["else"], timeout=1)
        there = device.push(model)
        assert device.push(model) == there and device.files[there] == b"model"
        device.pull(there, tmp_path / "back")
        with pytest.raises(DeviceError, match="no such file"):
            device.pull("/gone", tmp_path / "gone")
        with pytest.raises(Busy):
            device.__enter__()
    assert device.pushed == [model]  # the second time it was there
    assert device.calls[:2] == [("out",), ("fails",)] and device.timeouts[:2] == [7, 8]
    with pytest.raises(DeviceError, match="away"):
        FakeDevice(away=DeviceError("fake: away")).__enter__()
